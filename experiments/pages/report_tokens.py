"""The report's section on the tokens that the induction head matters most for."""

import html

import numpy as np
import xarray as xr

from experiments.heldout import affected_tokens, induction_tokens
from experiments.heldout.ablation_pass import DRAWS, AblationPass
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.pages import affected_page
from experiments.results.cells import Cells
from experiments.statistics.intervals import caution, written

SHOWN = 6


def section(cells: Cells) -> str:
    """The most affected tokens in their contexts, each with what cutting the previous-token heads' paths does to it."""
    circuit = cells.table(INDUCTION_HEADS)
    asked, table = induction_tokens.pass_of(cells), induction_tokens.table(cells)
    head = str(table.change.values[0])
    return "\n".join(
        [
            f"<h2>The tokens that {head} matters most for</h2>",
            _summary(table, head, circuit.attrs["previous"]),
            f"<p class=quiet>Blue: where {head} attends from the token before the marked one. "
            f"<code>devcircuits affected {head}</code> lists more, and the tokens that it makes worse.</p>",
            *_hits(cells, asked, table, circuit.attrs["previous"]),
        ]
    )


def _summary(table: xr.Dataset, head: str, previous: str) -> str:
    removed, queries, keys, values = _written(table, "mean")
    share, everywhere = 100 * float(table.repeated.mean()), 100 * table.attrs["repeated_of_all"]
    return (
        f"<p>Of {table.attrs['tokens']} held-out tokens, the {table.sizes['hit']} whose loss rises most under resample "
        f"ablation of {head} ({DRAWS} donors). In {share:.0f}% of them the token before was followed by the same token "
        f"earlier in the row, against {everywhere:.0f}% of all tokens. On these tokens the ablation raises the loss by "
        f"{removed} nats (95% confidence interval, clustered by document), and cutting only the path from {previous} "
        f"into its keys raises it by <b>{keys}</b>, into its queries by {queries}, into its values by {values}. The "
        "tokens were chosen with one half of the donors and these numbers are from the other half. "
        f"{caution(table, 'mean')}</p>"
    )


def _hits(cells: Cells, asked: AblationPass, table: xr.Dataset, previous: str) -> list[str]:
    """The first tokens of the list, each with the effects of cutting one path at a time."""
    head, *paths = table.change.values.tolist()
    hits = induction_tokens.top_hits(cells, asked)
    shown = affected_tokens.contexts(cells.inputs, asked, head, hits.take(np.arange(min(SHOWN, len(hits.effect)))))
    blocks = []
    for number, context in enumerate(shown):
        cuts = table.isel(change=slice(1, None), hit=number)
        effects = zip(paths, _written(cuts, "effect"), strict=True)
        listed = ", ".join(f"{path[-1]} {effect}" for path, effect in effects)
        line = f"<p class=predicted>of that, cutting {html.escape(previous)} from its inputs: {listed} nats</p>"
        blocks.append(affected_page.hit(context, number + 1, line))
    return blocks


def _written(table: xr.Dataset, name: str) -> list[str]:
    return [written(table.isel(change=number), name, 2) for number in range(table.sizes["change"])]
