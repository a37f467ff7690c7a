"""A discovered circuit as a self-contained page: what was found, the graph, the strongest paths, how to do it again."""

import html

import pandas as pd

from experiments.plots import style

PAIR_COLUMNS = ("composition_z", "overlap_z")
COLUMNS = ("path", "effect (95% interval)", "EAP-IG", "faithfulness lost", "composition z", "overlap z", "")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 1040px; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.quiet, figcaption { color: #555; font-size: .9rem }
figure { margin: 1.2rem 0 } svg { width: 100%; height: auto }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums }
td, th { padding: .28rem .9rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
td:first-child, th:first-child { text-align: left; padding-left: 0 }
code { background: #f3f3f3; padding: .1rem .3rem; border-radius: 3px; font-size: .88rem }
"""


def page(title: str, lead: list[str], figures: list[tuple[str, str]], strongest: str, command: str) -> str:
    """A whole document; figures: an <svg> element and a caption each; strongest: HTML; the rest is plain text."""
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(_sentence(line))}</p>" for line in lead)]
    body += [f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>" for svg, caption in figures]
    body += ["<h2>The strongest paths</h2>", strongest, "<h2>Again</h2>", f"<p><code>{html.escape(command)}</code></p>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def table(rows: pd.DataFrame, explanation: str) -> str:
    """Paths, as `discovery.frame` has them, in that order; empty where a column says nothing about a path."""
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS) + "</tr>"]
    for row in rows.to_dict("records"):
        cells = [
            html.escape(row["path"]),
            f"{row['effect']:.2f} ± {style.TWO_SIDED * row['se']:.2f}",
            f"{row['eap_ig']:.2f}",
            _known(row["faithfulness_lost"], 2),
            *(_known(row[name], 1) for name in PAIR_COLUMNS),
            "" if row["found"] else "not found",
        ]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>", f"<p class=quiet>{html.escape(_sentence(explanation))}</p>"])


def _known(value: float, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def _sentence(line: str) -> str:
    return line[0].upper() + line[1:].removesuffix(".") + "."
