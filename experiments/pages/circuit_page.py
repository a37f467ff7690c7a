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
    body += ["<h2>The strongest paths</h2>", strongest, "<h2>Again</h2>", f"<p><code>{html.escape(command)}</code></p>"]
    return shell.page(title, shell.fragment("\n".join(body)))


def table(rows: pd.DataFrame, explanation: str) -> str:
    """Paths, as `discovery.frame` has them, in that order; empty where a column says nothing about a path."""
    lines = [
        [
            html.escape(row["path"]),
            plus_minus(row["effect"], row["se"], 2),
            f"{row['eap_ig']:.2f}",
            _known(row["faithfulness_lost"], 2),
            *(_known(row[name], 1) for name in PAIR_COLUMNS),
            "" if row["found"] else "not found",
        ]
        for row in rows.to_dict("records")
    ]
    return f"{shell.table(COLUMNS, lines)}<p class=quiet>{shell.sentence(explanation)}</p>"


def _known(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"
