"""A finding on the mean over seeds of one number of each seed whose p is of permutations, not of flips of signs.

Permutations within seeds carry the maximum that chose the number; the interval is that of the same mean over seeds.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.study import over_seeds
from experiments.study.over_seeds import ALPHA, BySeed
from experiments.study.verdict import Claim, Finding, verdict_of_interval


def finding(
    claim: Claim, by_seed: BySeed, *, p: float, critical: str, untestable: Sequence[str] = (), **about: Any
) -> Finding:
    """As `over_seeds.finding` takes the rest. critical: the mean beyond which p is below 0.05, with its units."""
    found = over_seeds.finding(claim, by_seed, untestable=untestable, **about)
    word = verdict_of_interval(
        testable=not untestable,
        met=p < ALPHA,
        interval=found.interval,
        controls=found.controls,
        interest=found.interest.value if found.interest else None,
    )
    return replace(found, p=p, smallest_detectable=critical, verdict=word)
