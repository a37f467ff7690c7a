"""A learning coefficient as JSON values, with its interval and what `llc.health` says of it."""

from typing import Any

import xarray as xr

from llc import health

KEPT = ("value", "se", "virial", "temperature", "excess", "rhat", "kappa", "kappa_se")


def record(trace: xr.Dataset) -> dict[str, Any]:
    """The coefficient of a trace of `llc.sample` or `llc.sample_function`, rounded, which keeps the files small."""
    found = health(trace)
    low, high = (round(float(end), 3) for end in found.interval.values)
    numbers = {name: round(float(found[name]), 4) for name in KEPT}
    return numbers | {"low": low, "high": high, "verdict": found.verdict.item(), "advice": found.advice.item()}
