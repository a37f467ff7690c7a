"""What removing each head costs on held-out text, and which pairs of heads matter for the same tokens."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ablations import affected, overlap
from ablations.effects import Estimate
from ablations.not_measurable import NotMeasurable
from ablations.overlap import Shared
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.path_overlap import SHARE
from experiments.results.cells import Cells

TOKENS = 50_000  # of held-out text, or all where there are fewer


class Removed(NamedTuple):
    """What the mean ablation of each head by itself does: nats per token, and overlaps of affected tokens."""

    tokens: int
    effects: dict[str, Estimate]
    shared: Shared  # of the heads, in the order of the pass
    size: int  # tokens in each head's list


def pass_of_heads(cells: Cells, step: int, heads: Sequence[str] = ()) -> AblationPass:
    """The pass over the text that overlaps rest on, of these heads (default: all).

    Raises NotMeasurable where no text is left for it, or rows are too short to have scored tokens.
    """
    inputs = cells.inputs
    if inputs.n_ctx <= affected.BEFORE + 1:
        raise NotMeasurable(
            f"rows of {inputs.n_ctx} tokens have none with {affected.BEFORE} before it: use a longer context"
        )
    return ablation_pass.of_heads(inputs, step, min(TOKENS, inputs.free_tokens), heads)


def removed(cells: Cells, ablation: AblationPass) -> Removed:
    """Costs of the heads and overlaps of their pairs; computes the parts of the pass that are missing."""
    kept, means = ablation_pass.kept(cells, ablation), ablation_pass.means(cells, ablation)
    chosen = np.stack([overlap.strongest(effect, SHARE) for effect in kept.effect.values])
    groups = overlap.strata(kept.target.values, kept.clean.values)
    columns = (means[f"effect{end}"].values.tolist() for end in ("", "_se", "_degrees"))
    costs = zip(*columns, strict=True)
    return Removed(
        tokens=len(groups),
        effects={name: Estimate(*cost) for name, cost in zip(ablation.what, costs, strict=True)},
        shared=overlap.shared(chosen, groups),
        size=int(chosen[0].sum()),
    )
