"""The difference of two circuits of a task: in words, as a table of a page, and as a file."""

import numpy as np
from markupsafe import Markup

from circuits.head_matching import SURE
from experiments.pages.layout import elements
from experiments.pages.layout.page import Section
from experiments.statistics.intervals import give_or_take
from experiments.tasks.circuit_difference import WORDS, Difference, frame

COLUMNS = ("path", "", "first", "second", "difference (95% confidence interval)", "q")


def sentences(difference: Difference) -> list[str]:
    """What became of the circuit and how universal it is, as plain text without full stops."""
    first, second = difference.ends.titles
    rows = frame(difference)
    counts = rows.change.value_counts()
    told = [f"{counts[word]} {word}" for word in WORDS if word in counts]
    how = "the same prompts, paired" if difference.ends.paired else "prompts of each run's own"
    names = "Paths are compared by name" if difference.ends.one_run else "Heads are matched by what they do"
    return [
        f"From {first} to {second}, on {how}: {', '.join(told) or 'no path is found in either'} (at a false-discovery "
        f"rate of 5% over differences of all paths). {names}",
        *_matched(difference),
        *_universal(difference),
    ]


def _matched(difference: Difference) -> list[str]:
    """How sure partners are; between runs alone, where heads have no names in common."""
    if difference.ends.one_run:
        return []
    share = np.array([*difference.matching.share.values()])
    return [
        f"{int((share >= SURE).sum())} of {len(share)} heads have the same partner in at least {100 * SURE:.0f}% of "
        "resamples of the prompts"
    ]


def _universal(difference: Difference) -> list[str]:
    found, (first, second) = difference.universal, difference.ends.titles
    if found is None:
        return ["How universal the circuit is cannot be told: one of the two has no paths"]
    low, high = np.quantile(found.random, [0.025, 0.975])
    return [
        f"With heads matched by what they do, {100 * found.of_first:.0f}% of the paths of {first} are in {second}, and "
        f"{100 * found.of_second:.0f}% the other way round (Jaccard index {found.jaccard:.2f}; with heads matched at "
        f"random {found.random.mean():.2f}, 95% of draws {low:.2f} to {high:.2f})"
    ]


def table(difference: Difference, top: int) -> Markup:
    """What changed first; at most `top` rows."""
    rows = []
    for row in frame(difference).head(top).to_dict("records"):
        name = row["path"] if row["path"] == row["counterpart"] else f"{row['path']} as {row['counterpart']}"
        apart = give_or_take(row["difference"], row["difference_half"], 2)
        rows.append([name, row["change"], f"{row['first']:.2f}", f"{row['second']:.2f}", apart, f"{row['q']:.2g}"])
    first, second = difference.ends.titles
    about = (
        f"first, second: effect of patching the path at {first} and at {second}, on the logit difference, negative "
        "where it carries the task; "
        "q: p of the difference, adjusted for the number of paths; undecided: found in one alone, but no difference is "
        "seen"
    )
    return elements.joined(elements.table(COLUMNS, rows, words=(0, 1)), elements.quiet(elements.sentence(about)))


def section(difference: Difference, top: int) -> Section:
    """The sentences and the table, under a heading of their own."""
    lines = (elements.paragraph(elements.sentence(line)) for line in sentences(difference))
    title = f"Against {difference.ends.titles[1]}"
    return Section(title, elements.joined(*lines, table(difference, top)))


def as_text(difference: Difference, top: int) -> str:
    """The same for a terminal."""
    lines = [*sentences(difference)]
    for row in frame(difference).head(top).to_dict("records"):
        apart = give_or_take(row["difference"], row["difference_half"], 2)
        other = "" if row["path"] == row["counterpart"] else f"  as {row['counterpart']}"
        lines.append(f"{row['path']:16}{row['change']:>10}{row['first']:>8.2f}{row['second']:>8.2f}{apart:>15}{other}")
    return "\n".join(lines)
