"""Does cutting a path matter on the tokens for which its two ends matter, each alone?"""

import numpy as np

from ablations import overlap
from ablations.changes import Change
from ablations.names import head_name
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import Survey
from experiments.results.cells import Cells

SHARE = 0.02  # of the tokens: those that each end matters most for


def parts(change: Change) -> tuple[str, ...]:
    """The two heads of a change that is one path between heads; nothing for any other."""
    if change.heads or len(change.cuts) != 1:
        return ()
    source, target, _ = change.cuts[0]
    return () if isinstance(source, str) or isinstance(target, str) else (head_name(source), head_name(target))


def sentences(cells: Cells, asked: Survey, path: str, ends: tuple[str, ...]) -> list[str]:
    """Overlap of the two heads' tokens, and the share of the path's harm that falls on the tokens of both."""
    kept = ablation_pass.kept(cells, asked)
    source, target = (kept.effect.sel(change=end).values for end in ends)
    cut, documents = kept.effect.sel(change=path).values, kept.document.values
    groups = overlap.strata(kept.target.values, kept.clean.values)
    both = overlap.strongest(source, SHARE) & overlap.strongest(target, SHARE)
    shared = overlap.jaccard(source, target, groups, SHARE, seed=asked.step)
    found = [
        f"Of the {100 * SHARE:g}% of tokens that {ends[0]} matters most for and the {100 * SHARE:g}% that {ends[1]} "
        f"matters most for, {100 * shared.value:.1f}% are the same (of their union; {_chance(shared)})."
    ]
    if not len(np.unique(documents[both])) > 1 or not (cut > 0).any():
        return [*found, "Too few tokens matter for both to say where the path matters."]
    harm = overlap.mass(cut, both, groups, seed=asked.step)
    inside, outside = overlap.share(cut, both, documents)
    return [
        *found,
        f"On the {100 * both.mean():.2f}% of tokens that are among both, cutting {path} costs {inside.value:.3f} ± "
        f"{1.96 * inside.se:.3f} nats, elsewhere {outside.value:.4f} ± {1.96 * outside.se:.4f}; they hold "
        f"{100 * harm.value:.1f}% of its harm ({_chance(harm)}).",
    ]


def _chance(found: overlap.Overlap) -> str:
    """Held against the same with one list shuffled among occurrences of the same token with like clean losses."""
    return (
        f"{100 * found.chance:.1f} ± {100 * found.chance_sd:.1f}% (sd) among like tokens by chance, p = {found.p:.3f}"
    )
