"""The report's section on the induction head's tokens."""

import html

import numpy as np
import xarray as xr

from experiments.heldout import affected_tokens, induction_tokens
from experiments.heldout.ablation_pass import DRAWS
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.pages import affected_page
from experiments.results.cells import Cells
from experiments.statistics.intervals import plus_minus

SHOWN = 6


def section(cells: Cells) -> str:
    """Most affected tokens in context, each with what cutting the previous-token heads' paths does to it."""
    circuit = cells.table(INDUCTION_HEADS)
    asked, found = induction_tokens.pass_of(cells), induction_tokens.table(cells)
    head, *paths = found.change.values.tolist()
    previous = circuit.attrs["previous"]
    hits = induction_tokens.top_hits(cells, asked)
    shown = affected_tokens.contexts(cells.inputs, asked, head, hits.take(np.arange(min(SHOWN, len(hits.effect)))))
    effects = found.isel(change=slice(1, None))
    blocks = []
    for number, context in enumerate(shown):
        at = effects.isel(hit=number)
        cut = ", ".join(
            f"{path[-1]} {cost}" for path, cost in zip(paths, _with_errors(at.effect, at.effect_se), strict=True)
        )
        line = f"<p class=said>of that, cutting {html.escape(previous)} from its inputs: {cut} nats</p>"
        blocks.append(affected_page.hit(context, number + 1, line))
    means = _with_errors(found["mean"], found["mean_se"])
    share, everywhere = 100 * float(found.repeated.mean()), 100 * found.attrs["repeated_of_all"]
    return (
        f"<h2>The tokens that {head} matters most for</h2>\n"
        f"<p>Of {found.attrs['tokens']} held-out tokens, the {found.sizes['hit']} whose loss rises most under "
        f"resample ablation of {head} ({DRAWS} donors). In {share:.0f}% of them the token before was followed by "
        f"the same token earlier in the row, against {everywhere:.0f}% of all tokens. On these tokens removing {head} "
        f"costs {means[0]} nats (95% confidence interval, clustered by document), and "
        f"cutting only the path from {previous} into its keys costs "
        f"<b>{means[2]}</b>, into its queries {means[1]}, into its values {means[3]}. The tokens were chosen with "
        "one half of the donors and these numbers are from the other half.</p>\n"
        f"<p class=quiet>Blue: where {head} attends from the token before the marked one. "
        f"<code>python -m experiments affected {head}</code> lists more, and the tokens that it makes worse.</p>\n"
        + "\n".join(blocks)
    )


def _with_errors(values: xr.DataArray, errors: xr.DataArray) -> list[str]:
    pairs = zip(values.values.tolist(), errors.values.tolist(), strict=True)
    return [plus_minus(value, error, 2) for value, error in pairs]
