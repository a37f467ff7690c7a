"""A head's rLLC over nbeta, localization and lr, with the control at nbeta 0 and the recommended setting."""

import numpy as np
from matplotlib.figure import Figure

from ablations.names import head_name
from experiments.measurements.calibration import Calibration
from experiments.plots import style

CAPTION = (
    "rLLC against nbeta, one panel a localization, one colour a step size; bars are 95% intervals. Grey: nbeta times "
    "the loss rise at nbeta 0, which is what noise alone gives; a curve on it does not feel the loss, a level curve is "
    "a plateau. Hollow: not to be trusted. Ring: the recommended setting."
)
MARKERS = ("o", "s", "^", "D")


def draw(calibration: Calibration) -> Figure:
    sweep, chosen = calibration.sweep, calibration.recommendation.settings
    shown = sweep.sel(nbeta=sweep.nbeta > 0)
    localizations = shown.localization.values
    figure = style.new_figure(0.8 + 2.9 * len(localizations), 3.5)
    axes = figure.subplots(1, len(localizations), squeeze=False, sharey=True)[0]
    for axis, localization in zip(axes, localizations, strict=True):
        part = shown.sel(localization=localization)
        axis.plot(shown.nbeta, part.control.mean("lr"), color=style.QUIET, linewidth=3, label="noise alone (control)")
        for number, lr in enumerate(shown.lr.values):
            _curve(axis, part.sel(lr=lr), style.COLORS[number], MARKERS[number % 4], f"lr {lr:g}")
        if chosen and np.isclose(chosen.localization, localization):
            at = part.sel(lr=chosen.lr, nbeta=chosen.nbeta)
            ring = {"markersize": 15, "markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 1.6}
            axis.plot(chosen.nbeta, at.value, "o", **ring, linestyle="none", label="recommended")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(f"localization {localization:g}", fontsize=style.FONT + 1)
        axis.set_xlabel("nbeta", fontsize=style.FONT)
        style.tidy(axis)
        axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left")
    axes[0].set_ylabel(f"rLLC of {head_name(calibration.head)}", fontsize=style.FONT)
    return figure


def _curve(axis, part, color: str, marker: str, label: str) -> None:
    positive = part.sel(nbeta=part.value.values > 0)
    axis.errorbar(positive.nbeta, positive.value, positive.half_width, color=color, linewidth=1.3, label=label)
    for trusted in (True, False):
        some = positive.sel(nbeta=(positive.verdict.values != "do not trust") == trusted)
        face = color if trusted else "white"
        axis.plot(some.nbeta, some.value, marker, markersize=5, color=color, markerfacecolor=face, linestyle="none")
