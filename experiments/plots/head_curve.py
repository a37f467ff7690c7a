"""The learning coefficient of one head over training, among the heads of its layer."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.plots import end_labels, style


def draw(rllc: xr.Dataset, head: str, step: int, settings: str, named: Sequence[str] = ()) -> Figure:
    """rllc: value, half_width (of the 95% interval) [step, restriction] of a layer, with `tokens` (millions) along
    `step`; step: ringed. The head, and others that are named, are in colour with their names at the curve's end.
    """
    figure = style.new_figure(5.6, 3.1)
    axis = figure.subplots()
    tokens = rllc.tokens.values
    first = [head, *(name for name in rllc.restriction.values.tolist() if name != head)]
    style.head_curves(axis, *_of(rllc, first), tokens, {name: name for name in (head, *named)})
    if step in rllc.step.values:
        at = rllc.sel(restriction=head, step=step)
        axis.plot(float(at.tokens), float(at.value), "o", ms=10, mfc="none", mec="black", mew=1.6, zorder=4)
    axis.axhline(0, color="black", linewidth=0.6)
    if len(tokens) == 1:
        axis.set_xticks(tokens, [f"step {rllc.step.values[0]}"])
        style.tidy(axis)
    else:
        style.token_axis(axis, tokens)
    axis.set_ylim(bottom=min(0.0, float(np.nanmin(rllc.value - rllc.half_width))))
    axis.set_ylabel(f"rLLC ({settings})", fontsize=style.FONT)
    end_labels.write(axis)
    return figure


def _of(rllc: xr.Dataset, heads: Sequence[str]) -> tuple[xr.DataArray, xr.DataArray]:
    """Values and half widths of these heads, in this order."""
    chosen = rllc.sel(restriction=list(heads))
    return chosen.value, chosen.half_width
