"""A discovered circuit as a self-contained page: what was found, the graph, the strongest paths, how to do it again."""

import html

import pandas as pd

from experiments.pages import shell
from experiments.statistics.intervals import plus_minus

PAIR_COLUMNS = ("composition_z", "overlap_z")
COLUMNS = ("path", "effect (95% interval)", "EAP-IG", "faithfulness lost", "composition z", "overlap z", "")


def page(title: str, lead: list[str], figures: list[tuple[str, str]], strongest: str, command: str) -> str:
    """A whole document; figures: an <svg> element and a caption each; strongest: HTML; the rest is plain text."""
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{shell.sentence(line)}</p>" for line in lead)]
    body += [shell.captioned(svg, caption) for svg, caption in figures]
    body += ["<h2>The strongest paths</h2>", strongest]
    body += ["<h2>How to make it again</h2>", f"<p><code>{html.escape(command)}</code></p>"]
    return shell.page(title, shell.fragment("\n".join(body)))


def table(paths: pd.DataFrame, explanation: str) -> str:
    """Rows of `discovery.frame` in their order, and what the columns say; empty where one says nothing about a path."""
    rows = [
        [
            html.escape(path["path"]),
            plus_minus(path["effect"], path["se"], 2),
            _number(path["eap_ig"], 2),
            _number(path["faithfulness_lost"], 2),
            *(_number(path[name], 1) for name in PAIR_COLUMNS),
            remark(path["found"], path["on_way"]),
        ]
        for path in paths.to_dict("records")
    ]
    return f"{shell.table(COLUMNS, rows)}\n<p class=quiet>{shell.sentence(explanation)}</p>"


def remark(found: bool, on_way: bool) -> str:
    """What is to be said of a path beside its numbers; nothing of one that is part of a circuit from end to end."""
    if not found:
        return "not found"
    return "" if on_way else "on no way from embed to output"


def _number(value: float, digits: int) -> str:
    """The value with so many digits; nothing for NaN."""
    return "" if pd.isna(value) else f"{value:.{digits}f}"
