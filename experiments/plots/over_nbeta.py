"""Heads' rLLCs over nbeta, without and with a control variate: the values, their slopes, and what it takes away."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.plots import style
from experiments.statistics.intervals import TWO_SIDED

LINES = {"without": "-", "with a control variate": "--"}
LABELS = ("rLLC", "slope, d log rLLC / d log nbeta", "taken away by the control variate (%)")


def draw(axes: Sequence[Axes], data: xr.Dataset, layers: Sequence[int]) -> None:
    """Fills three axes. data: value, half_width, slope, slope_se [sampler, nbeta, restriction]; layers: the heads'."""
    value, slope, gone = axes
    for number, layer in enumerate(layers):
        _curves(value, slope, data.isel(restriction=number), style.COLORS[layer])
        _gone(gone, data.isel(restriction=number), style.COLORS[layer], 1 + 0.02 * number)
    for label, line in LINES.items():
        value.plot([], [], color="black", ls=line, label=label)
    for layer in sorted(set(layers)):
        value.plot([], [], color=style.COLORS[layer], label=f"heads of layer {layer}")
    value.legend(fontsize=style.FONT - 2, frameon=False)
    value.set_yscale("log")
    for axis, level in ((slope, 0), (slope, 1), (gone, 0)):
        axis.axhline(level, color=style.QUIET, lw=0.8)
    for axis, label in zip(axes, LABELS, strict=True):
        axis.set_xscale("log")
        axis.set_xlabel("nbeta", fontsize=style.FONT)
        axis.set_ylabel(label, fontsize=style.FONT)
        style.tidy(axis)


def _curves(value: Axes, slope: Axes, data: xr.Dataset, color: str) -> None:
    """A head's values and slopes; a line for each sampler."""
    between = np.sqrt(data.nbeta.values[1:] * data.nbeta.values[:-1])
    for line, sampler in zip(LINES.values(), data.sampler.values, strict=True):
        one = data.sel(sampler=sampler)
        positive, later = one.sel(nbeta=one.value.values > 0), one.isel(nbeta=slice(1, None))
        value.errorbar(
            positive.nbeta, positive.value, positive.half_width, color=color, ls=line, lw=0.8, elinewidth=0.5, alpha=0.7
        )
        slope.errorbar(
            between, later.slope, TWO_SIDED * later.slope_se, color=color, ls=line, lw=0.8, elinewidth=0.5, alpha=0.7
        )


def _gone(axis: Axes, data: xr.Dataset, color: str, shift: float) -> None:
    """What is gone of a head's value with the control variate."""
    plain, reduced = data.isel(sampler=0), data.isel(sampler=1)
    share = 100 * (1 - reduced.value / plain.value)
    bars = 100 * np.hypot(plain.half_width, reduced.half_width) / abs(plain.value)
    axis.errorbar(shift * data.nbeta, share, bars, color=color, ls="none", marker="o", ms=3, elinewidth=0.5, alpha=0.7)
