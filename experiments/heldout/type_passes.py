"""The passes over held-out text that types of heads rest on, beside that in which each head is removed."""

from dataclasses import replace

import xarray as xr

from ablations.names import all_heads, head_name, parse_head
from ablations.paths import OUTPUT
from circuits import classify
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.statistics.intervals import margin

JOINT_TOKENS = 50_000  # of text on which sets of heads and of paths are removed


def word(head: str) -> str:
    """A head's direct path to the output."""
    return f"{head}->{OUTPUT}"


def direct(cells: Cells, ablation: AblationPass) -> AblationPass:
    """Cutting the direct path of each head, and of induction heads, whose repeats are left out of others' lists."""
    words = [word(head) for head in (*ablation.what, *inducing(cells, ablation.step))]
    return replace(ablation, what=tuple(dict.fromkeys(words)))


def inducing(cells: Cells, step: int) -> list[str]:
    """The induction heads, by their prefix-matching score."""
    matching = cells.get(SCORES, step).prefix_matching
    return [str(name) for name in matching.restriction.values[matching.values >= classify.PREFIX_MATCHING]]


def to_itself(ablation: AblationPass) -> AblationPass:
    """Each head attends to the token itself alone."""
    return replace(ablation, method=ablation_pass.ITSELF, keep=False, tokens=min(ablation.tokens, JOINT_TOKENS))


def through_keys(cells: Cells, head: str) -> str:
    """All paths from a head into keys of the next layer; nothing in the last."""
    layer, cfg = parse_head(head)[0], cells.run.model_config()
    readers = [head_name(reader) for reader in all_heads(cfg) if reader[0] == layer + 1]
    return "+".join(f"{head}->{reader}.k" for reader in readers)


def joint(cells: Cells, ablation: AblationPass) -> AblationPass:
    """Removing all heads at once, and each; cutting each head's paths into keys; and what tells whether heads without
    effect stand for others that attend alike.
    """
    means, groups = ablation_pass.means(cells, ablation), alike(cells, ablation.step)
    asked = [name for name in ablation.what if name in groups]
    idle = [name for name in asked if float(means.effect.sel(change=name)) <= 0 or _in_doubt(means, name)]
    pairs = [pair for name in idle for pair in with_and_without(groups[name], name)]
    every = "+".join(head_name(head) for head in all_heads(cells.run.model_config()))
    keys = [paths for name in ablation.what if (paths := through_keys(cells, name))]
    what = tuple(dict.fromkeys([every, *ablation.what, *keys, *pairs]))
    return replace(ablation, what=what, keep=False, tokens=min(ablation.tokens, JOINT_TOKENS))


def _in_doubt(means: xr.Dataset, name: str) -> bool:
    """Smaller than a twentieth of the loss, or not told from 0: then it is looked at more closely."""
    at = means.sel(change=name)
    return float(at.effect - margin(at, "effect")) < 0.05 * float(means.loss)


def alike(cells: Cells, step: int) -> dict[str, tuple[str, ...]]:
    """Heads that attend as others of the first layer do, with these others and themselves."""
    scores = cells.get(SCORES, step)
    heads = [parse_head(name) for name in scores.restriction.values.tolist()]
    looks = [
        dict(zip(heads, scores[score].values.tolist(), strict=True)) for score in ("previous_token", "current_token")
    ]
    groups = classify.alike(*looks)
    return {head_name(h): tuple(map(head_name, group)) for h, group in groups.items() if len(group) > 1}


def with_and_without(group: tuple[str, ...], name: str) -> tuple[str, str]:
    return "+".join(group), "+".join(other for other in group if other != name)
