"""A discovered circuit as a self-contained page: what was found, the graph, the strongest paths, how to do it again."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from circuits.scale_part import through_scale
from experiments.pages import shell
from experiments.statistics.intervals import give_or_take

PAIR_COLUMNS = ("composition_z", "overlap_z")
COLUMNS = (
    "path",
    "effect (95% interval)",
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
    lead: list[str],
    figures: list[tuple[str, str]],
    strongest: str,
    command: str,
    sections: Sequence[str] = (),
) -> str:
    """A whole document; figures: an <svg> element and a caption each; strongest, and sections with headings of their
    own: HTML; the rest is plain text.
    """
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{shell.sentence(line)}</p>" for line in lead)]
    body += [shell.captioned(svg, caption) for svg, caption in figures]
    body += ["<h2>The strongest paths</h2>", strongest, *sections]
    body += ["<h2>How to make it again</h2>", f"<p><code>{html.escape(command)}</code></p>"]
    return shell.page(title, shell.fragment("\n".join(body)))


def table(paths: pd.DataFrame, explanation: str) -> str:
    """Rows of `discovery.frame` in their order, and what the columns say; empty where one says nothing about a path."""
    rows = [
        [
            html.escape(path["path"]),
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
    return f"{shell.table(COLUMNS, rows)}\n<p class=quiet>{shell.sentence(explanation)}</p>"


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
