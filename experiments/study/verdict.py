"""What a claim returns: its statistic, the null it was held against, its negative controls, and one word."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np

COMMAND = "devcircuits claims"
Verdict = Literal["replicated", "contradicted", "absent", "inconclusive", "not testable"]


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


class Interest(NamedTuple):
    """The smallest effect of interest, named before looking; an interval below it says that the effect is absent."""

    value: float
    unit: str  # "in log step"

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"


class Noise(NamedTuple):
    """A statistic of learning coefficients a second time, with nbeta E0[dL], the rise of the loss under plain noise."""

    value: float
    interval: tuple[float, float] | None
    p: float
    met: bool  # the criterion, with it alone
    difference: float  # the coefficients' statistic minus the noise's
    difference_interval: tuple[float, float] | None

    @property
    def exceeded(self) -> bool:
        """Whether the coefficients show more of the effect than plain noise does, beyond the 95% interval."""
        return self.difference_interval is not None and self.difference_interval[0] > 0


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
    alpha: float = 0.05  # the level of the criterion
    interest: Interest | None = None
    seeds_needed: int | None = None  # for an effect of interest to be seen with a probability of 80%
    noise: Noise | None = None  # of claims about learning coefficients

    def record(self) -> dict:
        """Plain JSON: tuples and arrays as lists, numbers that are not finite as null."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "claim"}
        parts = self.claim._asdict() | own | {"controls": [control._asdict() for control in self.controls]}
        parts["interest"] = str(self.interest) if self.interest else None
        parts["noise"] = self.noise._asdict() | {"exceeded": self.noise.exceeded} if self.noise else None
        parts["command"] = COMMAND
        return {name: plain(value) for name, value in parts.items()}


def verdict(*, testable: bool, met: bool, opposite: bool, control_fired: bool, absent: bool = False) -> Verdict:
    """The word that follows from the rules of all claims.

    testable: the precondition holds. met: the criterion does. opposite: the 95% interval lies wholly on the other side
    of the null. absent: it excludes every effect as large as the smallest one of interest. control_fired: a negative
    control met the criterion, so that no answer can be believed.
    Raises ValueError where a criterion is met by a statistic whose interval contradicts it.
    """
    if not testable:
        return "not testable"
    if met and opposite:
        raise ValueError(
            "a criterion is met and contradicted at once: give the interval and the test the same statistic"
        )
    if control_fired or not (met or opposite or absent):
        return "inconclusive"
    return "replicated" if met else "contradicted" if opposite else "absent"


def verdict_of_interval(
    *,
    testable: bool,
    met: bool,
    interval: tuple[float, float] | None,
    controls: Sequence[Control],
    interest: float | None = None,
) -> Verdict:
    """The `verdict` of a claim of an effect above 0: contradicted by an interval wholly below 0, absent where the
    interval ends below the smallest effect of interest, and neither where the criterion is met.

    For statistics whose p comes from permutations and whose interval does not, so that the two may differ a little.
    """
    return verdict(
        testable=testable,
        met=met,
        opposite=opposite(interval, 0.0) and not met,
        absent=below(interval, interest),
        control_fired=any_fired(controls),
    )


def below(interval: tuple[float, float] | None, interest: float | None) -> bool:
    """Whether an interval excludes every effect as large as this one; never where there is none or it is not finite."""
    return (
        interval is not None and interest is not None and all(map(math.isfinite, interval)) and interval[1] < interest
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
