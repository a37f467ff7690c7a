"""The sweep that picks hyperparameters: lr x localization x nbeta, with the control at nbeta 0.

What to look for. Over some range of nbeta a learning coefficient should not depend on it (a plateau: kappa near 0);
then any nbeta of that range will do. Where there is none, the value is a sensitivity to noise of variance
1 / localization, and is to be read as that. The control says how much the loss is felt at all: the loss rise of chains
that only the localization holds (nbeta 0), times nbeta. An estimate equal to it has learned nothing from the gradient.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr

from llc.diagnose import PLATEAU, health
from llc.settings import Settings

DIMS = ("lr", "localization", "nbeta")
TOO_HOT, OFF = 1.1, 0.02  # temperature, and virial ratio's distance from 1, beyond which a setting is not recommended

MOST_DRAWS = 1_000_000  # of burn-in


class Recommendation(NamedTuple):
    """A setting, and why."""

    settings: Settings | None  # None: no setting of the sweep can be sampled
    plateau: bool
    reason: str


def grid(
    base: Settings, lrs: Iterable[float], localizations: Iterable[float], nbetas: Iterable[float]
) -> list[Settings]:
    """All settings of a sweep. Burn-in covers three relaxation times of flat directions; as many draws remain.

    Raises ValueError for values that cannot be sampled, or only with a burn-in of more than MOST_DRAWS.
    """
    kept, settings, temperatures = base.num_draws - base.num_burnin, [], [0.0, *nbetas]
    for lr in lrs:
        for localization in localizations:
            for nbeta in temperatures:
                replace(base, lr=lr, localization=localization, nbeta=nbeta)  # raises for each by itself
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
    """Samples every setting in turn (sample: settings -> trace) and tabulates what came out."""
    return table(settings, [health(sample(one)) for one in settings])


def table(settings: list[Settings], records: list[xr.Dataset]) -> xr.Dataset:
    """Health records of a grid's settings, by lr, localization and nbeta, with the control and local slopes:

    control [lr, localization, nbeta]  nbeta times the loss rise at nbeta 0
    slope, slope_se                    d log lambda / d log nbeta from the nbeta before; NaN at the first
    """
    places = [{dim: [getattr(one, dim)] for dim in DIMS} for one in settings]
    scalars = [record[[n for n, v in record.data_vars.items() if v.ndim == 0]] for record in records]
    parts = [one.drop_attrs().expand_dims(place) for one, place in zip(scalars, places, strict=True)]
    joined = xr.combine_by_coords(parts, combine_attrs="drop")
    assert isinstance(joined, xr.Dataset)
    control = joined.rise.sel(nbeta=0.0, drop=True) * joined.nbeta
    joined = joined.assign(control=control.transpose(*DIMS))
    slope, error = _slopes(joined)
    return joined.assign(slope=(DIMS, slope), slope_se=(DIMS, error))


def recommend(sweep: xr.Dataset, base: Settings) -> Recommendation:
    """The settings to sample at: on a plateau in nbeta if there is one, else at the largest nbeta that samples what it
    states.

    Among settings that are stationary (virial ratio within 0.02 of 1, or 3 of its errors) and not too hot: the one
    whose |slope| is least when that is a plateau (|slope| + 2 errors below 0.3); else the largest nbeta, at the
    localization of `base` where it is in the sweep. Of equal ones the largest lr, which needs the fewest draws. Whether
    the draws were enough does not matter here: more can be taken.
    """
    fit = (abs(sweep.virial - 1) <= np.maximum(OFF, 3 * sweep.virial_se)) & (sweep.temperature <= TOO_HOT)
    fit &= (sweep.bad_chains == 0) & (sweep.nbeta > 0)
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
            "sensitivity to noise; this is the largest nbeta of the sweep that samples what it states"
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
    return {dim: float(scores[dim][at]) for dim, at in zip(DIMS, best, strict=True)}


def _slopes(sweep: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """First differences of logarithms between neighbouring nbetas; NaN where a value is not positive."""
    with np.errstate(all="ignore"):
        value, relative = sweep.value.transpose(*DIMS).values, (sweep.se / sweep.value).transpose(*DIMS).values
        step = np.diff(np.log(sweep.nbeta.values))
        slope, error = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
        slope[..., 1:] = np.diff(np.log(np.where(value > 0, value, np.nan)), axis=-1) / step
        error[..., 1:] = np.hypot(relative[..., 1:], relative[..., :-1]) / step
    return np.where(np.isfinite(slope), slope, np.nan), error
