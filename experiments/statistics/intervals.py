"""95% intervals: how many standard errors they reach to either side, and the forms in which they are written.

A number that does not exist (NaN) is written as nothing, and an estimate without a standard error without its interval.
"""

import math

from circuits.classify import TWO_SIDED as TWO_SIDED  # the one 1.96: heads are classified by the same intervals


def bounds(value: float, se: float) -> tuple[float, float]:
    """The lower and the upper end of the 95% interval of an estimate with this standard error."""
    return value - TWO_SIDED * se, value + TWO_SIDED * se


def plus_minus(value: float, se: float, digits: int = 3, *, signed: bool = False) -> str:
    """An estimate and half the width of its interval, as in "0.125 ± 0.010"; `signed` writes a plus as well."""
    if math.isnan(value):
        return ""
    number = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return number if math.isnan(se) else f"{number} ± {TWO_SIDED * se:.{digits}f}"


def bracketed(value: float, se: float, digits: int = 2) -> str:
    """An estimate and the ends of its interval, as in "0.13 [0.11, 0.14]"."""
    if math.isnan(value):
        return ""
    low, high = bounds(value, se)
    return f"{value:.{digits}f}" if math.isnan(se) else f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def from_to(interval: tuple[float, float] | None) -> str:
    """The ends of an interval with three significant digits, as in "0.106 to 0.145"."""
    return "" if interval is None or any(map(math.isnan, interval)) else f"{interval[0]:.3g} to {interval[1]:.3g}"


def give_or_take(value: float, half_width: float, digits: int = 3) -> str:
    """An estimate and half the width of its interval, where that is known (`llc.intervals`), as in "12.5 ± 1.0"."""
    if math.isnan(value):
        return ""
    return f"{value:.{digits}f}" if math.isnan(half_width) else f"{value:.{digits}f} ± {half_width:.{digits}f}"
