"""Heads' rLLCs over nbeta, without and with a control variate: the values, their slopes, and what noise alone gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.plots import style
from experiments.statistics.intervals import TWO_SIDED

LINES = {"without": "-", "with a control variate": "--"}
LABELS = ("rLLC", "slope, d log rLLC / d log nbeta", "rLLC / what noise alone gives")


def draw(axes: Sequence[Axes], data: xr.Dataset, layers: Sequence[int]) -> None:
    """Fills three axes. data: `experiments.measurements.over_nbeta.table`; layers: the heads'."""
    for number, layer in enumerate(layers):
        for line, sampler in zip(LINES.values(), data.sampler.values, strict=True):
            look = {"color": style.COLORS[layer], "ls": line, "lw": 0.8, "elinewidth": 0.5, "alpha": 0.7}
            _head(axes, data.isel(restriction=number).sel(sampler=sampler), look)
    for label, line in LINES.items():
        axes[0].plot([], [], color="black", ls=line, label=label)
    for layer in sorted(set(layers)):
        axes[0].plot([], [], color=style.COLORS[layer], label=f"heads of layer {layer}")
    axes[0].legend(fontsize=style.FONT - 2, frameon=False)
    axes[0].set_yscale("log")
    for axis, label in zip(axes, LABELS, strict=True):
        axis.set_xscale("log")
        axis.set_xlim(0.85 * float(data.nbeta.min()), float(data.nbeta.max()) / 0.85)
        axis.set_xlabel("nbeta", fontsize=style.FONT)
        axis.set_ylabel(label, fontsize=style.FONT)
        style.tidy(axis)
    for axis in axes[1:]:
        axis.axhline(1, color=style.QUIET, lw=0.8)


def _head(axes: Sequence[Axes], one: xr.Dataset, look: dict[str, Any]) -> None:
    """A head's values, slopes and shares of noise, by one sampler."""
    positive, later = one.sel(nbeta=one.value.values > 0), one.isel(nbeta=slice(1, None))
    axes[0].errorbar(positive.nbeta, positive.value, positive.half_width, **look)
    between = np.sqrt(one.nbeta.values[1:] * one.nbeta.values[:-1])
    axes[1].errorbar(between, later.slope, TWO_SIDED * later.slope_se, **look)
    share, relative = one.value / one.noise, np.hypot(one.half_width / one.value, one.noise_half_width / one.noise)
    axes[2].errorbar(one.nbeta, share, abs(share * relative), **look)
