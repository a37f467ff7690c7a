"""What removing each head costs on held-out text, and which pairs of heads matter for the same tokens."""

from typing import NamedTuple

import numpy as np

from ablations import affected, overlap
from ablations.effects import Estimate
from ablations.overlap import Shared
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import Survey
from experiments.heldout.path_overlap import SHARE
from experiments.results.cells import Cells

TOKENS = 50_000  # of held-out text, or all where there are fewer


class Removed(NamedTuple):
    """With every head's z replaced by its mean, one by one: nats per token, and overlaps of affected tokens."""

    tokens: int
    effects: dict[str, Estimate]
    shared: Shared  # of all heads, in the order of `all_heads`
    size: int  # tokens in each head's list


def asked(found: Cells, step: int) -> Survey | None:
    """The pass over the text; None where no text is left for it, or rows are too short to have scored tokens."""
    if not len(ablation_pass.text(found.on)) or found.run.config["model"]["n_ctx"] <= affected.BEFORE + 1:
        return None
    return ablation_pass.of_heads(found.on, step, min(TOKENS, ablation_pass.available(found.on)))


def removed(found: Cells, survey_asked: Survey) -> Removed:
    """Costs of all heads and overlaps of all pairs; computes the parts of the pass that are missing."""
    kept, means = ablation_pass.kept(found, survey_asked), ablation_pass.means(found, survey_asked)
    chosen = np.stack([overlap.strongest(effect, SHARE) for effect in kept.effect.values])
    groups = overlap.strata(kept.target.values, kept.clean.values)
    costs = zip(means.effect.values.tolist(), means.effect_se.values.tolist(), strict=True)
    return Removed(
        tokens=len(groups),
        effects={name: Estimate(*cost) for name, cost in zip(survey_asked.what, costs, strict=True)},
        shared=overlap.shared(chosen, groups),
        size=int(chosen[0].sum()),
    )
