"""95% intervals: how many standard errors they reach to either side, and the forms in which they are written.

An error over few documents is uncertain itself, so that its interval reaches farther: by Student's t with the error's
degrees of freedom. A table keeps those of the error `NAME_se` as `NAME_degrees`; where it has none, as for errors of
long series, the interval reaches 1.96 standard errors. A number that does not exist (NaN) is written as nothing, and an
estimate without a standard error without its interval.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

TWO_SIDED = 1.96  # standard errors to either side, of an error that is known well

FEW = 20  # documents, of one size
CAUTION = (
    "Few documents: an interval rests on as much as {documents:.0f} documents of one size would tell. Below {few} it "
    "is too short where effects are skewed (a few documents with large ones, in the same direction)."
)


def reach(degrees: Any = math.inf) -> Any:
    """How many standard errors a 95% interval reaches to either side, for one number of degrees or for an array."""
    known = np.where(np.isfinite(degrees), degrees, 1.0)
    wide = np.where(np.isfinite(degrees), stats.t.ppf(0.975, known), TWO_SIDED)
    return wide if wide.ndim else float(wide)


def margin(table: xr.Dataset, name: str) -> xr.DataArray:
    """Half the width of the 95% interval of `name`, of whose error the table has the degrees, or has none."""
    error = table[f"{name}_se"]
    if f"{name}_degrees" not in table:
        return TWO_SIDED * error
    return xr.apply_ufunc(lambda se, degrees: reach(degrees) * se, error, table[f"{name}_degrees"])


def degrees_of(table: xr.Dataset | pd.Series | dict, name: str) -> float:
    """The degrees of freedom of the error of `name`, a single number; infinite where the table does not say."""
    return float(table[f"{name}_degrees"]) if f"{name}_degrees" in table else math.inf


def bounds(value: float, se: float, degrees: float = math.inf) -> tuple[float, float]:
    """The lower and the upper end of the 95% interval of an estimate with this standard error."""
    return value - reach(degrees) * se, value + reach(degrees) * se


def plus_minus(value: float, se: float, digits: int = 3, *, signed: bool = False, degrees: float = math.inf) -> str:
    """An estimate and half the width of its interval, as in "0.125 ± 0.010"; `signed` writes a plus as well."""
    if math.isnan(value):
        return ""
    number = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return number if math.isnan(se) else f"{number} ± {reach(degrees) * se:.{digits}f}"


def written(table: xr.Dataset | pd.Series | dict, name: str, digits: int = 3, *, signed: bool = False) -> str:
    """`plus_minus` of one number that a table has with its error."""
    number, se = float(table[name]), float(table[f"{name}_se"])
    return plus_minus(number, se, digits, signed=signed, degrees=degrees_of(table, name))


def bracketed(value: float, se: float, digits: int = 2, degrees: float = math.inf) -> str:
    """An estimate and the ends of its interval, as in "0.13 [0.11, 0.14]"."""
    if math.isnan(value):
        return ""
    low, high = bounds(value, se, degrees)
    return f"{value:.{digits}f}" if math.isnan(se) else f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def from_to(interval: tuple[float, float] | None) -> str:
    """The ends of an interval with three significant digits, as in "0.106 to 0.145"."""
    return "" if interval is None or any(map(math.isnan, interval)) else f"{interval[0]:.3g} to {interval[1]:.3g}"


def give_or_take(value: float, half_width: float, digits: int = 3) -> str:
    """An estimate and half the width of its interval, where that is known (`llc.intervals`), as in "12.5 ± 1.0"."""
    if math.isnan(value):
        return ""
    return f"{value:.{digits}f}" if math.isnan(half_width) else f"{value:.{digits}f} ± {half_width:.{digits}f}"


def caution(table: xr.Dataset | pd.DataFrame, *names: str) -> str:
    """A word where intervals of these numbers, of all where none is named, rest on few documents; nothing where they
    rest on enough.
    """
    names = names or tuple(name.removesuffix("_degrees") for name in map(str, table) if name.endswith("_degrees"))
    kept = [np.ravel(table[f"{name}_degrees"]) for name in names if f"{name}_degrees" in table]
    fewest = 1 + min((float(each) for degrees in kept for each in degrees if np.isfinite(each)), default=math.inf)
    return CAUTION.format(documents=fewest, few=FEW) if fewest < FEW else ""
