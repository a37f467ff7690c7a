"""A setting's table: what theory or a paper says, beside what was measured and its 95% interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

Expected = float | int | tuple[float, float]  # a value; or a range, infinite on one side for a bound


class Row(NamedTuple):
    """One quantity.

    It agrees where the interval holds the expected value, or lies within the expected range. A control is measured
    where theory's value must not come out: it stays quiet where the row does not agree, and fires where it does.
    """

    quantity: str
    expected: Expected
    source: str  # the paper and the place in it, or the derivation
    measured: float
    low: float  # of the 95% interval
    high: float
    control: bool = False
    note: str = ""  # why it does not agree, where it does not

    @property
    def agrees(self) -> bool:
        """Whether what was measured is what was expected; never where something was not measured."""
        if not all(math.isfinite(value) for value in (self.measured, self.low, self.high)):
            return False
        if isinstance(self.expected, tuple):
            return self.expected[0] <= self.low and self.high <= self.expected[1]
        return self.low <= self.expected <= self.high

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.control:
            return "control FIRES" if self.agrees else "control quiet"
        return "agrees" if self.agrees else "DISAGREES"


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The table as data, one line for each row."""
    return pd.DataFrame(
        {
            "quantity": [row.quantity for row in rows],
            "expected": [_expected(row.expected) for row in rows],
            "measured": [row.measured for row in rows],
            "low": [row.low for row in rows],
            "high": [row.high for row in rows],
            "verdict": [row.verdict for row in rows],
            "source": [row.source for row in rows],
            "note": [row.note for row in rows],
        }
    )


def text(rows: Sequence[Row]) -> str:
    """The table as lines for a terminal; sources and notes, which are long, below it by number."""
    lines = [("", "quantity", "expected", "measured", "95% interval", "verdict")]
    for number, row in enumerate(rows, 1):
        interval = f"{row.low:.4g} to {row.high:.4g}"
        lines.append((f"{number}", row.quantity, _expected(row.expected), f"{row.measured:.4g}", interval, row.verdict))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    remarks = [f"{n}: {row.source}{f'; {row.note}' if row.note else ''}" for n, row in enumerate(rows, 1)]
    return "\n".join([*shown, "", *remarks])


def _expected(value: Expected) -> str:
    if not isinstance(value, tuple):
        return f"{value:.4g}"
    low, high = value
    if math.isinf(high):
        return f"above {low:.4g}"
    return f"below {high:.4g}" if math.isinf(low) else f"{low:.4g} to {high:.4g}"
