"""A head's rLLC over nbeta, localization, lr and sampler, with its slope, the control at nbeta 0 and the recommended
settings.
"""

from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.names import head_name
from experiments.measurements.calibration import Calibration
from experiments.plots import style
from experiments.statistics.intervals import TWO_SIDED

CAPTION = (
    "Top: rLLC against nbeta, one panel a localization, one colour a step size and sampler; bars are 95% confidence "
    "intervals. Grey: nbeta times the loss rise at nbeta 0, which is what noise alone gives; a curve on it does not "
    "feel the loss, a level curve is a plateau. Hollow: not to be trusted. Ring: the recommended setting of a "
    "sampler. Bottom: the slope, d log rLLC / d log nbeta, between neighbouring nbeta (1: noise alone, 0: a plateau)."
)
MARKERS, LINES = ("o", "s", "^", "D"), ("-", "--", ":", "-.")
APART = 1.03  # what separates the samplers' markers at one nbeta
RING: dict[str, Any] = {"markersize": 15, "markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 1.6}


def draw(calibration: Calibration) -> Figure:
    shown = calibration.sweep.sel(nbeta=calibration.sweep.nbeta > 0)
    localizations = shown.localization.values
    figure = style.new_figure(max(5.5, 0.8 + 3.1 * len(localizations)), 5.6)
    axes = figure.subplots(
        2, len(localizations), squeeze=False, sharex=True, sharey="row", gridspec_kw={"height_ratios": (2, 1)}
    )
    for above, below, localization in zip(*axes, localizations, strict=True):
        part = shown.sel(localization=localization)
        _panel(above, below, part)
        _rings(above, part, calibration)
        above.set_title(f"localization {localization:g}", fontsize=style.FONT + 1)
        above.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left")
    axes[0, 0].set_ylabel(f"rLLC of {head_name(calibration.head)}", fontsize=style.FONT)
    axes[1, 0].set_ylabel("slope", fontsize=style.FONT)
    return figure


def _panel(above: Axes, below: Axes, part: xr.Dataset) -> None:
    """The curves at one localization, and their slopes."""
    control = part.control.isel(sampler=0).mean("lr")
    above.plot(part.nbeta, control, color=style.QUIET, linewidth=3, label="noise alone (control)")
    cases = product(part.sampler.values.tolist(), part.lr.values)
    for number, (sampler, lr) in enumerate(cases):
        color, kind = style.COLORS[number % len(style.COLORS)], number // part.sizes["lr"]
        one = part.sel(lr=lr, sampler=sampler)
        one = one.assign_coords(nbeta=one.nbeta * APART**kind)
        look: dict[str, Any] = {"color": color, "linestyle": LINES[kind % len(LINES)]}
        _curve(above, one, look, MARKERS[kind % len(MARKERS)], f"{sampler}, lr {lr:g}")
        _slope(below, one, look, MARKERS[kind % len(MARKERS)])
    above.set_yscale("log")
    for level in (0, 1):
        below.axhline(level, color=style.QUIET, linewidth=0.8)
    below.set_ylim(-0.5, 2)
    below.set_xscale("log")
    below.set_xlabel("nbeta", fontsize=style.FONT)
    for axis in (above, below):
        style.tidy(axis)


def _rings(axis: Axes, part: xr.Dataset, calibration: Calibration) -> None:
    """A ring around each sampler's recommended setting, where it has this localization."""
    chosen = {sampler: found.settings for sampler, found in calibration.recommendations.items()}
    here = {sampler: one for sampler, one in chosen.items() if one and np.isclose(one.localization, part.localization)}
    for number, (sampler, one) in enumerate(here.items()):
        at, kind = part.sel(lr=one.lr, nbeta=one.nbeta, sampler=sampler), list(chosen).index(sampler)
        axis.plot(
            one.nbeta * APART**kind, at.value, "o", **RING, linestyle="none", label=None if number else "recommended"
        )


def _curve(axis: Axes, part: xr.Dataset, look: dict, marker: str, label: str) -> None:
    positive = part.sel(nbeta=part.value.values > 0)
    axis.errorbar(positive.nbeta, positive.value, positive.half_width, **look, linewidth=1.3)
    axis.plot([], [], **look, marker=marker, markersize=5, linewidth=1.3, label=label)
    for trusted in (True, False):
        some = positive.sel(nbeta=(positive.verdict.values != "do not trust") == trusted)
        face = look["color"] if trusted else "white"
        axis.plot(
            some.nbeta, some.value, marker, color=look["color"], linestyle="none", markersize=5, markerfacecolor=face
        )


def _slope(axis: Axes, part: xr.Dataset, look: dict, marker: str) -> None:
    between = np.sqrt(part.nbeta.values[1:] * part.nbeta.values[:-1])
    later = part.isel(nbeta=slice(1, None))
    bars = TWO_SIDED * later.slope_se
    axis.errorbar(between, later.slope, bars, **look, linewidth=1.0, marker=marker, markersize=3, elinewidth=0.8)
