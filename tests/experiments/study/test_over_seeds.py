"""Findings on a mean over seeds: each word, the seeds that would decide, and what noise alone shows."""

import pytest

from ablations.not_measurable import NotMeasurable
from experiments.study import over_seeds
from experiments.study.verdict import Claim, Interest

CLAIM = Claim(4, "simplicity", "s", "p", "c", "rllcs")
INTEREST = Interest(0.1, "in log rLLC")


def by_seed(*values: float) -> dict[str, float]:
    return {f"seed{number}": value for number, value in enumerate(values)}


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((0.2, 0.3, 0.25, 0.2, 0.3, 0.2, 0.25, 0.3), "replicated"),
        ((-0.2, -0.3, -0.25, -0.2, -0.3, -0.2, -0.25, -0.3), "contradicted"),
        ((0.02, -0.02, 0.01, -0.01, 0.03, -0.03, 0.0, 0.0), "absent"),
        ((0.5, -0.5, 0.4, -0.4, 0.3, -0.3, 0.2, -0.2), "inconclusive"),
        ((0.2, 0.3, 0.25, 0.2), "inconclusive"),  # four seeds give no p below 1/16
    ],
)
def test_the_word_follows_from_test_and_interval(values: tuple[float, ...], word: str) -> None:
    found = over_seeds.finding(CLAIM, by_seed(*values), statistic="a difference", interest=INTEREST)
    assert found.verdict == word


def test_a_control_that_fires_or_an_unmet_precondition_leaves_no_verdict() -> None:
    values = by_seed(0.2, 0.3, 0.25, 0.2, 0.3, 0.2, 0.25, 0.3)
    fired = over_seeds.control("random pairs", values)
    assert fired.fired
    found = over_seeds.finding(CLAIM, values, statistic="d", interest=INTEREST, controls=[fired])
    assert found.verdict == "inconclusive"
    found = over_seeds.finding(CLAIM, values, statistic="d", interest=INTEREST, untestable=["5 heads, 6 are needed"])
    assert found.verdict == "not testable" and found.diagnosis.startswith("5 heads, 6 are needed; ")
    assert not over_seeds.control("none", {}).fired
    with pytest.raises(NotMeasurable, match="5 heads"):
        over_seeds.finding(CLAIM, {}, statistic="d", interest=INTEREST, untestable=["5 heads"])


def test_noise_that_shows_as_much_is_not_exceeded() -> None:
    values = by_seed(0.2, 0.3, 0.25, 0.2, 0.3, 0.2)
    same = over_seeds.beside_noise(values, values)
    assert same.met and not same.exceeded and same.difference == 0
    half = over_seeds.beside_noise(values, {run: value / 2 for run, value in values.items()})
    assert half.met and half.exceeded
    record = over_seeds.finding(CLAIM, values, statistic="d", interest=INTEREST, noise=values).record()
    assert record["noise"]["exceeded"] is False and record["interest"] == "0.1 in log rLLC"


def test_the_seeds_that_would_decide_grow_with_the_spread() -> None:
    narrow = over_seeds.finding(CLAIM, by_seed(0.1, -0.1, 0.1, -0.1, 0.0), statistic="d", interest=INTEREST)
    wide = over_seeds.finding(CLAIM, by_seed(0.3, -0.3, 0.3, -0.3, 0.0), statistic="d", interest=INTEREST)
    assert narrow.seeds_needed and wide.seeds_needed and narrow.seeds_needed < wide.seeds_needed
    assert "probability of 80%" in narrow.smallest_detectable
    few = over_seeds.finding(CLAIM, by_seed(0.1, -0.1), statistic="d", interest=INTEREST)
    assert few.smallest_detectable == "none: 2 seeds give no p below 0.25"


def test_the_middle_of_three_draws_is_the_control() -> None:
    draws = [by_seed(*[1.0] * 6), by_seed(*[-1.0] * 6), by_seed(1.0, -1.0, 1.0, -1.0, 1.0, -1.0)]
    found = over_seeds.middle_control("types shuffled", lambda seed: draws[seed])
    assert found.value == 0 and not found.fired and found.name == "types shuffled (the median of 3)"
