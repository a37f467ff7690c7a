"""The learning coefficient of one head over training, among the heads of its layer."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.plots import style


def draw(rllc: xr.Dataset, head: str, step: int, settings: str) -> Figure:
    """rllc: value, half_width (of the 95% interval) [step, restriction] of a layer, with `tokens` (millions) along
    `step`; step: marked.
    """
    figure = style.new_figure(5.6, 3.1)
    axis = figure.subplots()
    tokens = rllc.tokens.values
    marker = "o" if len(tokens) == 1 else None
    for name in rllc.restriction.values.tolist():
        if name != head:
            axis.plot(tokens, rllc.value.sel(restriction=name), color=style.QUIET, linewidth=1.0, marker=marker)
    own = rllc.sel(restriction=head)
    bars = own.half_width
    blue = style.COLORS[0]
    axis.errorbar(tokens, own.value, bars, color=blue, label=head, marker="o", ms=4, lw=2.2, elinewidth=1, capsize=2)
    if rllc.sizes["restriction"] > 1:
        others = f"other heads of layer {head[1:].partition('H')[0]}"
        axis.plot([], [], color=style.QUIET, linewidth=1.0, marker=marker, label=others)
    if step in rllc.step.values:
        at = own.sel(step=step)
        axis.plot(float(at.tokens), float(at.value), "o", ms=10, mfc="none", mec=style.COLORS[1], mew=1.6, zorder=4)
    axis.axhline(0, color="black", linewidth=0.6)
    if len(tokens) == 1:
        axis.set_xticks(tokens, [f"step {step}"])
        style.tidy(axis)
    else:
        style.token_axis(axis, tokens)
    axis.set_ylim(bottom=min(0.0, float(np.nanmin(rllc.value - rllc.half_width))))
    axis.set_ylabel(f"rLLC ({settings})", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 1, frameon=False, loc="upper left")
    return figure
