"""A discovered circuit as a page: what was found, the graph, the strongest paths, how to do it again."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from circuits.scale_part import through_scale
from experiments.pages.layout import elements
from experiments.pages.layout.page import Made, Page, Section
from experiments.statistics.intervals import give_or_take

PAIR_COLUMNS = ("composition_z", "overlap_z")
COLUMNS = (
    "path",
    "effect (95% confidence interval)",
    "read",
    "through scale",
    "EAP-IG",
    "found again",
    "faithfulness lost",
    "composition z",
    "overlap z",
    "",
)


def page(
    title: str,
    lead: Sequence[str],
    pictures: Sequence[Section],
    strongest: Markup,
    others: Sequence[Section],
    made: Made,
) -> Page:
    """lead: sentences of plain text; pictures come before the strongest paths, other sections after them."""
    return Page(
        title=title,
        about="A circuit: the paths between the parts of a model that carry a task, each with the exact effect of "
        "patching it, and how good a circuit they make together.",
        sections=[*pictures, Section("The strongest paths", strongest), *others],
        made=made,
        lead=elements.joined(*(elements.paragraph(elements.sentence(line)) for line in lead)),
    )


def table(paths: pd.DataFrame, explanation: str) -> Markup:
    """Rows of `discovery.frame` in their order, and what the columns say; empty where one says nothing about a path."""
    rows = [
        [
            path["path"],
            give_or_take(path["effect"], path["half_width"], 2),
            _number(path["read"], 2),
            _number(path["scale"], 2),
            _number(path["eap_ig"], 2),
            f"{100 * path['frequency']:.0f}%",
            _number(path["faithfulness_lost"], 2),
            *(_number(path[name], 1) for name in PAIR_COLUMNS),
            remark(path),
        ]
        for path in paths.to_dict("records")
    ]
    return elements.joined(elements.table(COLUMNS, rows), elements.quiet(elements.sentence(explanation)))


def remark(path: Mapping[Any, Any]) -> str:
    """What is to be said of a path beside its numbers; nothing of one that is read, and on a way from end to end."""
    if not path["found"]:
        return "passes, but is seldom found again" if path["passed"] else "not found"
    remarks = ["through the norm's scale"] * through_scale(path) + ["on no way from embed to output"] * (
        not path["on_way"]
    )
    return ", ".join(remarks)


def _number(value: float, digits: int) -> str:
    """The value with so many digits; nothing for NaN."""
    return "" if pd.isna(value) else f"{value:.{digits}f}"
