"""Affected tokens as a self-contained page: the context shaded by attention, the affected token marked."""

import html

from experiments.heldout.affected_tokens import Context
from experiments.pages import shell
from experiments.statistics.intervals import plus_minus

RULES = """
.hit { border-top: 1px solid #ddd; padding: .7rem 0; min-width: 0 }
.hit p { margin: .2rem 0; font-size: .9rem }
.text { font: .82rem/1.6 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
background: #fafafa; padding: .5rem .7rem; border-radius: 4px; margin: .35rem 0 }
.target { outline: 2px solid #D55E00; border-radius: 2px; font-weight: 600; padding: 0 1px }
.later { color: #767676 } .number { font-variant-numeric: tabular-nums }
.hit .predicted { color: #444; font-size: .84rem } .predicted code { padding: 0 .25rem }
"""


def page(title: str, lead: list[str], sections: dict[str, list[Context]]) -> str:
    """A whole document: paragraphs of plain text, then one list per section."""
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p class=quiet>{html.escape(line)}</p>" for line in lead)]
    for heading, contexts in sections.items():
        body.append(f"<h2>{html.escape(heading)}</h2>")
        body += [hit(context, rank) for rank, context in enumerate(contexts, start=1)] or ["<p>No such token.</p>"]
    return shell.page(title, shell.fragment("\n".join(body), RULES))


def hit(context: Context, rank: int, more: str = "") -> str:
    """One affected token; more: a line of HTML after its numbers."""
    shaded = "".join(
        f'<span style="background:rgba(0,114,178,{0.85 * weight**0.75:.3f})" title="attention {weight:.3f}">'
        f"{_shown(token)}</span>"
        for token, weight in zip(context.before, context.attention, strict=True)
    )
    degrees = context.donors - 1.0
    effect = plus_minus(context.effect, context.effect_se, 2, signed=True, degrees=degrees)
    return (
        f"<div class=hit><p class=number><b>{rank}. {effect} nats</b>, probability {context.p_clean:.2g} to "
        f"{context.p_changed:.2g} <span class=later>document {context.document}, position {context.position}</span></p>"
        f"{more}"
        f"<div class=text>{shaded}<span class=target>{_shown(context.target)}</span>"
        f"<span class=later>{''.join(map(_shown, context.after))}</span></div>"
        f"<p class=predicted>predicted {_predictions(context.predicted_clean)}<br>"
        f"after the ablation {_predictions(context.predicted_changed)}</p></div>"
    )


def _shown(token: str) -> str:
    return html.escape(token).replace("\n", "⏎\n")


def _predictions(pairs: list[tuple[str, float]]) -> str:
    return " ".join(f"<code>{html.escape(repr(token))}</code> {probability:.2f}" for token, probability in pairs)
