"""Affected tokens as HTML: the context shaded by attention, the affected token marked."""

from collections.abc import Sequence

from markupsafe import Markup

from experiments.heldout.affected_tokens import Context
from experiments.pages.layout.environment import macros
from experiments.statistics.intervals import plus_minus

KEY = (
    "The token in the frame is the affected one; what stands before it is shaded by how much the head attends to it "
    "from the token before the frame. Grey text follows."
)


def hits(contexts: Sequence[Context], more: Sequence[Markup] = ()) -> Markup:
    """A list of affected tokens; more: a line of HTML for each, below its numbers."""
    lines = more or [Markup()] * len(contexts)
    shown = [hit(*each) for each in zip(contexts, range(1, len(contexts) + 1), lines, strict=True)]
    made: Markup = macros("affected").hits(shown)
    return made


def hit(context: Context, rank: int, more: Markup) -> Markup:
    """One affected token; more: a line of HTML after its numbers."""
    before = [
        (as_written(token), f"{0.85 * weight**0.75:.3f}", f"{weight:.3f}")
        for token, weight in zip(context.before, context.attention, strict=True)
    ]
    effect = plus_minus(context.effect, context.effect_se, 2, signed=True, degrees=context.donors - 1.0)
    change = f"{context.p_clean:.2g} to {context.p_changed:.2g}"
    after = "".join(map(as_written, context.after))
    target = as_written(context.target)
    made: Markup = macros("affected").hit(context, rank, effect, change, before, target, after, more)
    return made


def as_written(token: str) -> str:
    """The token with a sign where a line ends."""
    return token.replace("\n", "↵\n")
