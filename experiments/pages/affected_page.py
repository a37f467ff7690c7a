"""Affected tokens as a self-contained page: the context shaded by attention, the affected token marked."""

import html

import numpy as np

from experiments.heldout.affected_tokens import Context

STYLE = """
.hit { border-top: 1px solid #ddd; padding: .7rem 0 }
.hit p { margin: .2rem 0; font-size: .9rem }
.text { font: .82rem/1.6 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
background: #fafafa; padding: .5rem .7rem; border-radius: 4px; margin: .35rem 0 }
.target { outline: 2px solid #D55E00; border-radius: 2px; font-weight: 600; padding: 0 1px }
.later { color: #999 } .number { font-variant-numeric: tabular-nums }
.said { color: #444; font-size: .84rem } .said code { background: #f3f3f3; padding: 0 .25rem; border-radius: 3px }
"""
_PAGE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 980px; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } .quiet { color: #666; font-size: .9rem }
"""


def page(title: str, lead: list[str], sections: dict[str, list[Context]]) -> str:
    """A whole document: paragraphs, then one list per section."""
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p class=quiet>{html.escape(line)}</p>" for line in lead)]
    for heading, found in sections.items():
        body.append(f"<h2>{html.escape(heading)}</h2>")
        body += [hit(context, rank) for rank, context in enumerate(found, start=1)] or ["<p>No such token.</p>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_PAGE}{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def hit(context: Context, rank: int, more: str = "") -> str:
    """One affected token; more: a line of HTML after its numbers."""
    se = "" if np.isnan(context.effect_se) else f" ± {1.96 * context.effect_se:.2f}"
    shaded = "".join(
        f'<span style="background:rgba(0,114,178,{0.85 * weight**0.75:.3f})" title="attention {weight:.3f}">'
        f"{_shown(token)}</span>"
        for token, weight in zip(context.before, context.attention, strict=True)
    )
    return (
        f"<div class=hit><p class=number><b>{rank}. {context.effect:+.2f}{se} nats</b>, probability "
        f"{context.p_clean:.2g} to {context.p_changed:.2g} <span class=later>document {context.document}, "
        f"position {context.position}</span></p>{more}"
        f"<div class=text>{shaded}<span class=target>{_shown(context.target)}</span>"
        f"<span class=later>{''.join(map(_shown, context.after))}</span></div>"
        f"<p class=said>predicted {_said(context.predicted_clean)}<br>"
        f"without {_said(context.predicted_changed)}</p></div>"
    )


def _shown(token: str) -> str:
    return html.escape(token).replace("\n", "⏎\n")


def _said(pairs: list[tuple[str, float]]) -> str:
    return " ".join(f"<code>{html.escape(repr(token))}</code> {probability:.2f}" for token, probability in pairs)
