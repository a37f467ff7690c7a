"""A negative control by shuffled labels: the median of a few tests, which luck alone seldom lets through."""

from collections.abc import Callable
from typing import Any, TypeVar

Test = TypeVar("Test")

SHUFFLES = 3  # by luck alone their median passes a test at 5% in 1 of 140


def median_of_shuffles(test_of: Callable[[int], Test], order: Callable[[Test], Any]) -> Test:
    """The middle one of `SHUFFLES` tests in this order; test_of: the test on labels shuffled by a seed (0, 1, 2)."""
    return sorted((test_of(seed) for seed in range(SHUFFLES)), key=order)[SHUFFLES // 2]
