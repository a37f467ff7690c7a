"""The report's section on the tokens that the induction head matters most for."""

import numpy as np
import xarray as xr
from markupsafe import Markup

from experiments.heldout import affected_tokens, induction_tokens
from experiments.heldout.ablation_pass import DRAWS, AblationPass
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.pages import affected_page
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Section
from experiments.results.cells import Cells
from experiments.statistics.intervals import caution, written

SHOWN = 6


def section(cells: Cells) -> Section:
    """The most affected tokens in their contexts, each with what cutting the previous-token heads' paths does to it."""
    circuit = cells.table(INDUCTION_HEADS)
    asked, table = induction_tokens.pass_of(cells), induction_tokens.table(cells)
    head, previous = str(table.change.values[0]), circuit.attrs["previous"]
    shares = f"{100 * float(table.repeated.mean()):.0f}", f"{100 * table.attrs['repeated_of_all']:.0f}"
    about = macros("report").tokens(
        table.attrs["tokens"],
        table.sizes["hit"],
        DRAWS,
        head,
        previous,
        shares,
        _written(table, "mean"),
        caution(table, "mean"),
    )
    return Section(f"The tokens that {head} matters most for", about + _hits(cells, asked, table, previous))


def _hits(cells: Cells, asked: AblationPass, table: xr.Dataset, previous: str) -> Markup:
    """The first tokens of the list, each with the effects of cutting one path at a time."""
    head, *paths = table.change.values.tolist()
    hits = induction_tokens.top_hits(cells, asked)
    shown = affected_tokens.contexts(cells.inputs, asked, head, hits.take(np.arange(min(SHOWN, len(hits.effect)))))
    lines = []
    for number in range(len(shown)):
        cuts = table.isel(change=slice(1, None), hit=number)
        effects = zip(paths, _written(cuts, "effect"), strict=True)
        lines.append(macros("report").cuts(previous, ", ".join(f"{path[-1]} {effect}" for path, effect in effects)))
    return affected_page.hits(shown, lines)


def _written(table: xr.Dataset, name: str) -> list[str]:
    return [written(table.isel(change=number), name, 2) for number in range(table.sizes["change"])]
