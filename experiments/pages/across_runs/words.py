"""What the circuits of several runs have in common, in words, and as lines for a terminal."""

from collections import Counter

import numpy as np
import pandas as pd

from circuits.circuit_core import Core, Share
from circuits.head_matching import SURE
from experiments.tasks.circuit_across import ManyCircuits, core_names, frame

EXPLANATION = (
    "Effects of patching a path, on the logit difference, negative where it carries the task; in brackets where it is "
    "not found, which does not say that it does less there. Heads go by the first run's names. A p says how often "
    "random matchings of heads within layers give as much: heads are matched by their effects too, and random ones are "
    "not. By where they attend alone, heads that attend alike and write otherwise are not told apart"
)


def sentences(many: ManyCircuits) -> list[str]:
    """How much is the same in every run, as plain text without full stops."""
    found = many.found
    circuits = found.paths.found.sum("path").values.tolist()
    runs = zip(many.runs, many.steps, circuits, strict=True)
    each = listed([f"{run}, step {step} ({count} paths)" for run, step, count in runs])
    core = core_names(many)
    return [
        f"{len(many.runs)} runs on the same {many.prompts} prompts of {many.task}: {each}, at a false-discovery rate "
        f"of 5%. Heads are matched by what they do; names are those of {many.runs[0]}",
        f"{_in_all(found.core)}; {_in_fewer(found.core)}",
        *([f"In every run: {', '.join(core)}"] if core else []),
        _for_any_reference(many),
        f"With heads matched by where they attend alone, {len(found.by_attention.paths)} are in all "
        f"({_percent(found.by_attention.of_mean.value)} of the mean circuit, p {found.by_attention.of_mean.p:.2g})",
        _partners(many),
    ]


def _in_all(core: Core) -> str:
    count, size = len(core.paths), core.found_in.total() / core.models
    paths = "1 path is" if count == 1 else f"{count} paths are"
    return (
        f"{paths} found in all {core.models}: {_percent(core.of_mean.value)} of the mean circuit of {size:.1f} paths "
        f"({_by_chance(core.of_mean)}), and {_percent(core.jaccard.value)} of the {len(core.found_in)} that are found "
        f"in any, the Jaccard index of all ({_by_chance(core.jaccard)})"
    )


def _by_chance(share: Share) -> str:
    """What random matchings give in a share's place."""
    low, high = share.interval
    return (
        f"with heads matched at random {_percent(share.random.mean())}, 95% of draws {_percent(low)} to "
        f"{_percent(high)}; p {share.p:.2g}"
    )


def _in_fewer(core: Core) -> str:
    """How many are found in one run less than all, and so on."""
    counts = Counter(core.found_in.values())
    *more, last = [f"{counts[models]} in {models}" for models in range(core.models - 1, 0, -1)]
    return ", ".join([*more, f"{last} alone"])


def _for_any_reference(many: ManyCircuits) -> str:
    """What does not depend on which run is the first."""
    pairs = many.found.pairs
    of_each = np.concatenate([pairs.of_one.values, pairs.of_other.values])
    alike = (
        f"on average {_percent(np.nanmean(of_each))} of a run's paths are in another (mean Jaccard index of pairs "
        f"{float(pairs.jaccard.mean()):.2f}; with heads matched at random {float(pairs.random.mean()):.2f})"
    )
    if len(many.runs) == 2:
        return alike[0].upper() + alike[1:]
    sizes = listed([str(size) for size in many.found.core_sizes])
    return f"With each run in turn as the one that the others are matched to, {sizes} paths are in all; {alike}"


def _partners(many: ManyCircuits) -> str:
    """How sure partners are, and whether the other runs agree on them."""
    heads = many.found.heads
    sure = int((heads.share >= SURE).all("model").sum())
    text = (
        f"{sure} of {heads.sizes['head']} heads have in every run the same partner in at least {100 * SURE:.0f}% of "
        "resamples of the prompts"
    )
    if len(many.runs) == 2:
        return text
    return (
        f"{text}; the partners of {int((heads.agreement == 1).sum())} are partners of each other in all other runs, too"
    )


def effect(row: pd.Series | dict, run: str) -> str:
    """A path's effect in a run, in brackets where it is not found there."""
    number = f"{row[run]:.2f}"
    return number if row[f"{run}_found"] else f"({number})"


def as_text(many: ManyCircuits, top: int) -> str:
    """The sentences and the first `top` paths, for a terminal."""
    lines = [*sentences(many), EXPLANATION]
    widths = [max(9, len(run) + 2) for run in many.runs]
    lines.append(" " * 20 + "".join(f"{run:>{width}}" for run, width in zip(many.runs, widths, strict=True)))
    for row in frame(many).head(top).to_dict("records"):
        effects = (f"{effect(row, run):>{width}}" for run, width in zip(many.runs, widths, strict=True))
        lines.append(f"{row['path']:16}{row['models']:>4}{''.join(effects)}")
    return "\n".join(lines)


def listed(names: list[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
