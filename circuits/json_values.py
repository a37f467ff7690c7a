"""Numbers that were not measured, in JSON: null, since JSON has neither NaN nor infinities."""

import math
from typing import Any


def without_nan(value: object) -> Any:
    """JSON values with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_nan(value: object) -> Any:
    """JSON values with NaN for every null: what a record of numbers held before `without_nan`."""
    if isinstance(value, dict):
        return {key: with_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [with_nan(part) for part in value]
    return math.nan if value is None else value
