"""What a claim returns: its statistic, the null it was held against, its negative controls, and one word."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np

COMMAND = "devcircuits claims"
Verdict = Literal["replicated", "contradicted", "inconclusive", "not testable"]


class Control(NamedTuple):
    """A negative control: the same statistic where nothing is to be found."""

    name: str
    value: float | None
    p: float | None
    fired: bool  # it met the criterion all the same


class Claim(NamedTuple):
    """What is claimed, and when it counts as replicated."""

    number: int
    name: str
    statement: str
    precondition: str
    criterion: str
    figure: str
    part: str = ""  # "a", "b" of a claim that has a verdict for each of its parts

    @property
    def label(self) -> str:
        """Its number and part."""
        return f"{self.number}{self.part}"


@dataclass(frozen=True)
class Finding:
    """One claim, tested. `value`, `interval` and `null` are of the same units, which `statistic` names."""

    claim: Claim
    statistic: str  # what it is, with its units and sign
    value: float | None
    interval: tuple[float, float] | None  # 95%
    null: float | None  # the value that the interval is held against
    p: float | None
    units: str  # what was counted as independent: "16 heads, 3 seeds"
    smallest_detectable: str
    controls: tuple[Control, ...]
    survives: dict[str, str]  # other settings and gauges -> "yes", "no", "not applicable" or "not measured"
    details: dict  # JSON values and arrays
    diagnosis: str
    verdict: Verdict

    def record(self) -> dict:
        """Plain JSON: tuples and arrays as lists, numbers that are not finite as null."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "claim"}
        parts = self.claim._asdict() | own | {"controls": [control._asdict() for control in self.controls]}
        parts["command"] = COMMAND
        return {name: plain(value) for name, value in parts.items()}


def verdict(*, testable: bool, met: bool, opposite: bool, control_fired: bool) -> Verdict:
    """The word that follows from the rules of all claims.

    testable: the precondition holds. met: the criterion does. opposite: the 95% interval lies wholly on the other side
    of the null. control_fired: a negative control met the criterion, so that neither answer can be believed.
    Raises ValueError where a criterion is met by a statistic whose interval contradicts it.
    """
    if not testable:
        return "not testable"
    if met and opposite:
        raise ValueError(
            "a criterion is met and contradicted at once: give the interval and the test the same statistic"
        )
    if control_fired or not (met or opposite):
        return "inconclusive"
    return "replicated" if met else "contradicted"


def verdict_of_interval(
    *,
    testable: bool,
    met: bool,
    interval: tuple[float, float] | None,
    controls: Sequence[Control],
    claimed: Literal["above", "below"] = "above",
) -> Verdict:
    """The `verdict` of a claim that is contradicted by an interval wholly on the other side of 0, and not met.

    For statistics whose p comes from permutations and whose interval does not, so that the two may differ a little.
    """
    return verdict(
        testable=testable,
        met=met,
        opposite=opposite(interval, 0.0, claimed) and not met,
        control_fired=any_fired(controls),
    )


def any_fired(controls: Sequence[Control]) -> bool:
    """Whether a negative control met the criterion."""
    return any(control.fired for control in controls)


def opposite(interval: tuple[float, float] | None, null: float, claimed: Literal["above", "below"] = "above") -> bool:
    """Whether an interval lies wholly on the side of the null that is not the claimed one; never if not finite."""
    if interval is None or not all(map(math.isfinite, interval)):
        return False
    low, high = interval
    return high < null if claimed == "above" else low > null


def plain(value: object) -> object:
    """A value as JSON holds it; raises TypeError for what JSON cannot hold."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} is not a JSON value: give numbers, text, lists and dicts")
