"""From where to where the paths of a circuit carry its task: a section of its page, and lines for a terminal."""

import pandas as pd

from circuits.positions import ANYWHERE
from experiments.pages.layout import elements
from experiments.pages.layout.page import Section
from experiments.statistics.intervals import give_or_take

COLUMNS = ("path", "written at", "read at", "effect (95% confidence interval)", "of the path's", "prompts")
EXPLANATION = (
    "Effect of patching a path between positions of two roles alone: what its source writes on the corrupted prompt, "
    "at the positions written, seen from the positions read and from no other. Paths into queries and into the output "
    "are read where they are written. Beside it the effect of the path at all positions, to which these effects need "
    "not sum, as attention and layer norms are not linear; and the prompts that have such positions, the effect being "
    "0 in others"
)


def strongest(rows: pd.DataFrame, top: int) -> pd.DataFrame:
    """The first rows that say from where to where, of those of `experiments.tasks.positions.frame`."""
    return rows[rows.read != ANYWHERE].head(top)


def sections(rows: pd.DataFrame, top: int) -> list[Section]:
    """The strongest of them; nothing where there are none."""
    shown = strongest(rows, top)
    if not len(shown):
        return []
    cells = [
        [
            *(row[name] for name in ("path", "written", "read")),
            give_or_take(row["effect"], row["half_width"], 2),
            f"{row['of_path']:.2f}",
            f"{row['prompts']:.0f}",
        ]
        for row in shown.to_dict("records")
    ]
    table, note = elements.table(COLUMNS, cells, words=(0, 1, 2)), elements.quiet(elements.sentence(EXPLANATION))
    return [Section("From where to where", elements.joined(table, note))]


def as_text(rows: pd.DataFrame, top: int) -> str:
    """The strongest of them, for a terminal; nothing where there are none."""
    shown = strongest(rows, top)
    if not len(shown):
        return ""
    width = max(map(len, shown.path))
    lines = [
        "From where to where: the effect of a path between positions of two roles, and of the path at all positions"
    ]
    for row in shown.to_dict("records"):
        crosses = row["path"].endswith((".k", ".v"))
        where = f"{row['written']} -> {row['read']}" if crosses else row["written"]
        effect = give_or_take(row["effect"], row["half_width"], 2)
        lines.append(f"{row['path']:<{width}}  {effect:>14}  of {row['of_path']:>6.2f}  {where}")
    return "\n".join(lines)
