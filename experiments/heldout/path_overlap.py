"""Whether cutting a path matters on the tokens for which its two ends matter, each alone."""

import numpy as np

from ablations import overlap
from ablations.changes import Change
from ablations.names import head_name
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.results.cells import Cells
from experiments.statistics.intervals import plus_minus

SHARE = 0.02  # of the tokens: those that each end matters most for


def ends_of(change: Change) -> tuple[str, ...]:
    """The two heads of a change that is one path between heads; nothing for any other."""
    if change.heads or len(change.cuts) != 1:
        return ()
    source, target, _ = change.cuts[0]
    return () if isinstance(source, str) or isinstance(target, str) else (head_name(source), head_name(target))


def sentences(cells: Cells, ablation: AblationPass, path: str, ends: tuple[str, ...]) -> list[str]:
    """Overlap of the two heads' tokens, and the share of the path's harm that falls on the tokens of both."""
    kept = ablation_pass.kept(cells, ablation)
    source, target = (kept.effect.sel(change=end).values for end in ends)
    cut, documents = kept.effect.sel(change=path).values, kept.document.values
    groups = overlap.strata(kept.target.values, kept.clean.values)
    both = overlap.strongest(source, SHARE) & overlap.strongest(target, SHARE)
    shared = overlap.jaccard(source, target, groups, SHARE, seed=ablation.step)
    lines = [
        f"Of the {100 * SHARE:g}% of tokens that {ends[0]} matters most for and the {100 * SHARE:g}% that {ends[1]} "
        f"matters most for, {100 * shared.value:.1f}% are the same (of their union; {_chance(shared)})."
    ]
    if not len(np.unique(documents[both])) > 1 or not (cut > 0).any():
        return [*lines, "Too few tokens matter for both to say where the path matters."]
    harm = overlap.mass(cut, both, groups, seed=ablation.step)
    inside, outside = overlap.share(cut, both, documents)
    return [
        *lines,
        f"On the {100 * both.mean():.2f}% of tokens that are among both, cutting {path} costs "
        f"{plus_minus(inside.value, inside.se, degrees=inside.degrees)} nats, elsewhere "
        f"{plus_minus(outside.value, outside.se, 4, degrees=outside.degrees)}; they hold "
        f"{100 * harm.value:.1f}% of its harm ({_chance(harm)}).",
    ]


def _chance(measured: overlap.Overlap) -> str:
    """What the same is where one list is shuffled among occurrences of the same token with like clean losses."""
    return (
        f"{100 * measured.chance:.1f} ± {100 * measured.chance_sd:.1f}% (sd) among like tokens by chance, "
        f"p = {measured.p:.3f}"
    )
