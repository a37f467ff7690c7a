"""The chains behind every head's rLLC at the last checkpoint, each with its verdict."""

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.jobs import runner
from experiments.measurements.rllc import RLLC
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from llc.intervals import with_half_widths

TITLE = "Can the chains be trusted?"
CAPTION = (
    "nbeta times the loss rise along every chain, on the minibatch it shares with the unperturbed weights, at the "
    "last checkpoint sampled; grey draws are discarded, the level line is the estimate with its 95% confidence "
    "interval. Each panel says its verdict, the virial ratio (1 when the chain is stationary) and kappa (near 1: the "
    "value measures noise sensitivity; near 0: it does not depend on nbeta)."
)
NEEDS: tuple[Kind, ...] = ()  # the chains of the last checkpoint are sampled, or read, by `prepare`
WORDS = {"trust": style.COLORS[2], "caution": style.COLORS[4], "do not trust": style.COLORS[1]}


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples the chains of the last checkpoint where they are missing."""
    runner.run(_traced(cells).missing_tables([RLLC]), executor, f"{cells.run.name}: chains at the last checkpoint")


def compute(cells: Cells) -> xr.Dataset:
    """rise [restriction, chain, draw] times nbeta, with the estimates and diagnostics [restriction]."""
    last = with_half_widths(_traced(cells).table(RLLC)).isel(step=-1)
    rise = cells.plan.llc.nbeta * (last.trace_loss - last.trace_center_loss)
    kept = ["value", "se", "half_width", "virial", "kappa", "rhat", "verdict", "advice"]
    attrs = {"num_burnin": cells.plan.llc.num_burnin, "settings": cells.plan.of_settings}
    return last[kept].assign(rise=rise).assign_attrs(attrs)


def _traced(cells: Cells) -> Cells:
    """The last checkpoint alone, as sampled in this folder: the committed sweep keeps no draws."""
    return replace(cells, committed=False).planned(llc_checkpoints=1)


def draw(data: xr.Dataset) -> Figure:
    layers = sorted(set(data.layer.values.tolist()))
    columns = max(int((data.layer == layer).sum()) for layer in layers)
    columns = min(columns, 4)
    rows = [-(-int((data.layer == layer).sum()) // columns) for layer in layers]
    figure = style.new_figure(0.6 + 2.3 * columns, 0.4 + 1.75 * sum(rows))
    axes = figure.subplots(sum(rows), columns, squeeze=False, sharex=True)
    for number, layer in enumerate(layers):
        heads = data.isel(restriction=(data.layer.values == layer).nonzero()[0])
        mine = axes[sum(rows[:number]) : sum(rows[: number + 1])].flatten()
        low, high = min(0.0, float(heads.rise.min())), float(heads.rise.max())
        for at, axis in enumerate(mine):
            if at < heads.sizes["restriction"]:
                _panel(axis, heads.isel(restriction=at), data.attrs["num_burnin"])
                axis.set_ylim(low - 0.25 * (high - low), 1.05 * high)  # room for the words
            else:
                axis.set_axis_off()
    figure.supxlabel("draw", fontsize=style.FONT)
    figure.supylabel(f"nbeta × loss rise ({data.attrs['settings']})", fontsize=style.FONT)
    return figure


def _panel(axis: Axes, head: xr.Dataset, burnin: int) -> None:
    draws = np.arange(head.sizes["draw"])
    for number, series in enumerate(head.rise.values):
        axis.plot(draws[: burnin + 1], series[: burnin + 1], color=style.QUIET, linewidth=0.7)
        axis.plot(draws[burnin:], series[burnin:], color=style.COLORS[(0, 5, 3, 4)[number % 4]], linewidth=0.9)
    value, half = float(head.value), float(head.half_width)
    axis.plot([burnin, draws[-1]], [value, value], color="black", linewidth=1.2)
    axis.fill_between([burnin, draws[-1]], value - half, value + half, color="black", alpha=0.15, linewidth=0)
    verdict = str(head.verdict.values)
    axis.set_title(f"{head.restriction.values}: {verdict}", fontsize=style.FONT, color=WORDS[verdict], loc="left")
    words = f"virial {float(head.virial):.2f}, kappa {float(head.kappa):.2f}"
    axis.text(0.98, 0.04, words, transform=axis.transAxes, fontsize=style.FONT - 2, ha="right", va="bottom")
    style.tidy(axis)
