"""Calibration: a sweep over lr, localization and nbeta, with the control at nbeta 0, and the setting it recommends.

`grid` gives the settings of a sweep, `sweep` samples them, `recommend` chooses one. Over some range of nbeta a learning
coefficient should not depend on it (a plateau: kappa near 0); then any nbeta of that range will do. Where there is no
plateau, the value is a sensitivity to noise of variance 1 / localization, and is to be read as that. The control says
whether the loss matters at all: it is nbeta times the loss rise of chains that only the localization holds (nbeta 0).
An estimate equal to it has learned nothing from the gradient.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from llc.diagnose import EXCESS, PLATEAU, health
from llc.intervals import with_half_widths
from llc.settings import Settings

DIMS = ("lr", "localization", "nbeta")
TOO_HOT, OFF = 1.1, 0.02  # temperature, and the virial ratio's distance from 1, that a recommended setting may have
MOST_DRAWS = 1_000_000  # of burn-in


class Recommendation(NamedTuple):
    """The setting that a sweep recommends, and why."""

    settings: Settings | None  # None: no setting of the sweep can be sampled
    plateau: bool
    reason: str


def grid(
    base: Settings, lrs: Iterable[float], localizations: Iterable[float], nbetas: Iterable[float]
) -> list[Settings]:
    """All settings of a sweep: each lr with each localization and each nbeta, and with nbeta 0 as the control.

    Everything else is taken from `base`, but burn-in covers three relaxation times of flat directions, 6 / (lr *
    localization) draws, and as many draws as in `base` remain after it. Raises ValueError for values that cannot be
    sampled, or only with a burn-in of more than MOST_DRAWS.

    Example:

        >>> from llc import QUICK, calibrate
        >>> settings = calibrate.grid(QUICK, lrs=[3e-4, 1e-3], localizations=[200.0], nbetas=[30.0])
        >>> [(each.lr, each.nbeta, each.num_burnin, each.num_draws) for each in settings]
        [(0.0003, 0.0, 100, 140), (0.0003, 30.0, 100, 140), (0.001, 0.0, 30, 70), (0.001, 30.0, 30, 70)]
    """
    kept, settings, temperatures = base.num_draws - base.num_burnin, [], [0.0, *nbetas]
    for lr in lrs:
        for localization in localizations:
            for nbeta in temperatures:
                replace(base, lr=lr, localization=localization, nbeta=nbeta)  # names a bad value before the sum below
            if not lr * localization * MOST_DRAWS >= 6:
                raise ValueError(
                    f"lr={lr} with localization={localization}: flat directions relax within 6 / (lr * localization) "
                    f"draws, which must be at most {MOST_DRAWS}: raise either"
                )
            burnin = max(base.num_burnin, math.ceil(6 / (lr * localization)))
            for nbeta in sorted({*temperatures}):
                settings.append(
                    replace(
                        base,
                        name=f"{base.name} calibration",
                        lr=lr,
                        localization=localization,
                        nbeta=nbeta,
                        num_burnin=burnin,
                        num_draws=burnin + kept,
                    )
                )
    return settings


def sweep(sample: Callable[[Settings], xr.Dataset], settings: list[Settings]) -> xr.Dataset:
    """Samples every setting of a grid in turn, and gives the table of the health records (`table`).

    sample: takes settings and gives a trace, such as `lambda settings: llc.sample(model, tokens, ["L1H4"],
    settings=settings, seed=0)["L1H4"]`.
    """
    return table(settings, [health(sample(setting)) for setting in settings])


def table(settings: list[Settings], records: list[xr.Dataset]) -> xr.Dataset:
    """Tabulates the health records of a grid's settings: their scalars [lr, localization, nbeta], and

    half_width         half the width of the 95% interval of value
    control            nbeta times the loss rise at nbeta 0
    slope, slope_se    d log lambda / d log nbeta from the next smaller nbeta; NaN at the smallest
    """
    places = [{dim: [getattr(setting, dim)] for dim in DIMS} for setting in settings]
    records = [with_half_widths(record) for record in records]
    scalars = [record[[name for name, values in record.data_vars.items() if values.ndim == 0]] for record in records]
    parts = [record.drop_attrs().expand_dims(place) for record, place in zip(scalars, places, strict=True)]
    joined = xr.combine_by_coords(parts, combine_attrs="drop")
    assert isinstance(joined, xr.Dataset)
    control = joined.rise.sel(nbeta=0.0, drop=True) * joined.nbeta
    joined = joined.assign(control=control.transpose(*DIMS))
    value, se = (joined[name].transpose(*DIMS).values for name in ("value", "se"))
    slope, error = slopes(value, se, joined.nbeta.values)
    return joined.assign(slope=(DIMS, slope), slope_se=(DIMS, error))


def recommend(sweep: xr.Dataset, base: Settings) -> Recommendation:
    """Recommends settings: on a plateau in nbeta if there is one, else at the largest nbeta that samples the posterior
    it states.

    Settings must be stationary (virial ratio within 0.02 of 1, or 3 of its standard errors) and not too hot
    (temperature at most 1.1, excess at most 0.1 or within 2 standard errors of it). Of these it takes the one with the
    least |slope|, if that is a plateau (|slope| + 2 standard errors below 0.3), and otherwise the largest nbeta, at the
    localization of `base` where the sweep has it.
    Of equal ones it takes the largest lr, which needs the fewest draws. Whether the draws were enough does not matter
    here: more can be taken.
    """
    fit = (abs(sweep.virial - 1) <= np.maximum(OFF, 3 * sweep.virial_se)) & (sweep.temperature <= TOO_HOT)
    fit &= (sweep.bad_chains == 0) & (sweep.nbeta > 0)
    if "excess" in sweep:  # records of before it was measured have none
        fit &= ~(sweep.excess - 2 * sweep.excess_se > EXCESS)
    if not fit.any():
        return Recommendation(None, False, "no setting of the sweep can be sampled: add smaller lr or smaller nbeta")
    flat = fit & (abs(sweep.slope) + 2 * sweep.slope_se < PLATEAU)
    if flat.any():
        where = _least(flat, abs(sweep.slope))
        reason = "a plateau: between neighbouring nbeta the value grows less than nbeta^0.3"
    else:
        at_base = fit & (abs(sweep.localization - base.localization) < 1e-9 * base.localization)
        where = _least(at_base if at_base.any() else fit, -sweep.nbeta)
        reason = (
            f"no plateau in nbeta (the least slope is {float(sweep.slope.where(fit).min()):.2f}): the value measures "
            "sensitivity to noise; this is the largest nbeta of the sweep that samples the posterior it states"
        )
    burnin = max(base.num_burnin, math.ceil(6 / (where["lr"] * where["localization"])))
    draws = burnin + base.num_draws - base.num_burnin
    chosen = replace(
        base,
        name="CALIBRATED",
        lr=where["lr"],
        localization=where["localization"],
        nbeta=where["nbeta"],
        num_burnin=burnin,
        num_draws=draws,
    )
    return Recommendation(chosen, bool(flat.any()), reason)


def _least(allowed: xr.DataArray, score: xr.DataArray) -> dict[str, float]:
    """The allowed settings whose score is least, with the largest lr of equals."""
    scores = score.broadcast_like(allowed).where(allowed).transpose(*DIMS)
    best = np.argwhere(scores.values == np.nanmin(scores.values))[-1]  # lr is the first dim, in rising order
    return {dim: float(scores[dim][place]) for dim, place in zip(DIMS, best, strict=True)}


def slopes(
    value: Float[np.ndarray, "*rest nbeta"], se: Float[np.ndarray, "*rest nbeta"], nbeta: Float[np.ndarray, " nbeta"]
) -> tuple[Float[np.ndarray, "*rest nbeta"], Float[np.ndarray, "*rest nbeta"]]:
    """d log value / d log nbeta from the next smaller nbeta, and its standard error, for independent values; NaN at the
    smallest nbeta, and where a value is not positive.
    """
    slope, error = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    with np.errstate(all="ignore"):
        relative, step = se / value, np.diff(np.log(nbeta))
        slope[..., 1:] = np.diff(np.log(np.where(value > 0, value, np.nan)), axis=-1) / step
        error[..., 1:] = np.hypot(relative[..., 1:], relative[..., :-1]) / step
    return np.where(np.isfinite(slope), slope, np.nan), error
