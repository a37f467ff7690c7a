"""How many prompts an effect takes to pass: the smallest number, and what is said of fewer."""

import re

import numpy as np
import pytest
import torch
from scipy import stats

from circuits import answer_tests, discover, planted
from circuits.enough_prompts import largest_spread, note, prompts_needed
from circuits.tasks import Task


def p_of(prompts: int, spread: float) -> float:
    """p of the t-test of an effect with exactly this standard deviation over prompts, its mean being 1."""
    values = np.linspace(-1, 1, prompts)
    return float(stats.ttest_1samp(1 + spread * values / values.std(ddof=1), 0.0).pvalue)


@pytest.mark.parametrize("paths", [1, 9, 257])
@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0, 3.0])
def test_the_number_is_the_smallest_that_passes(paths: int, spread: float) -> None:
    needed = prompts_needed(paths, spread)
    others = [1.0] * (paths - 1)  # the false-discovery rate over all paths, of which no other passes
    assert discover.significant(np.array([p_of(needed, spread), *others]))[0]
    assert needed == 2 or not discover.significant(np.array([p_of(needed - 1, spread), *others]))[0]


@pytest.mark.parametrize("prompts", [2, 3, 10])
def test_the_largest_spread_is_where_effects_begin_to_pass(prompts: int) -> None:
    largest = largest_spread(prompts, 257)
    assert p_of(prompts, 0.999 * largest) < 0.05 / 257 < p_of(prompts, 1.001 * largest)
    assert largest_spread(1, 257) == 0.0


def test_the_other_test_is_passed_by_one_prompt() -> None:
    plant = planted.induction()
    task = Task("one", *(values[:1] for values in plant.tasks[0][1:5]))
    change = torch.zeros(1, plant.model.cfg.d_vocab)
    change[0, task.right[0]], change[0, task.wrong[0]] = 1.0, -1.0
    assert answer_tests.relabelling_p(task, change) < 1e-3 and answer_tests.p_value(task, change) == 1.0


def said(values: list[float], found: bool = False, paths: int = 257) -> str:
    effect, se = np.zeros(paths), np.full(paths, 0.01)
    effect[3], se[3] = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5
    return note(effect, se, np.arange(paths) == (3 if found else -1), len(values))


def test_few_prompts_are_said_to_be_few() -> None:
    assert said([-10.0, -14.0, -8.4]) == (
        "3 prompts are few: an effect passes a false-discovery rate of 5% over 257 paths if its standard deviation "
        "over prompts is below 2% of it; the largest here (-10.80, 27%) takes 7; give more (21 for an effect as large "
        "as its standard deviation), or read the effects alone"
    )
    assert "takes" not in said([-10.0, -10.1, -10.05], found=True) and "3 prompts are few" in said([1.0, 1, 2], True)
    assert "moves other tokens as much as the answers" in said([-10.0, -10.1, -10.05])
    assert said([-10.0, -14.0] * 11) == ""  # the control: 22 are enough
    assert said([-10.0, -14.0] * 10).startswith("20 prompts are few")
    four = said([-10.0, -14.0, -8.4], paths=4)
    assert "over 4 paths if its standard deviation over prompts is below 20% of it" in four


def test_a_single_prompt_and_no_effect_have_no_spread() -> None:
    one = note(np.array([1.0]), np.array([np.nan]), np.array([False]), 1)
    assert one.startswith("1 prompt is too few: nothing passes a false-discovery rate of 5% over 1 paths; give more")
    assert "the largest" not in note(np.zeros(4), np.zeros(4), np.zeros(4, dtype=bool), 2)


@pytest.mark.parametrize("wrong", [{"paths": 0}, {"paths": 9, "rate": 1.0}, {"paths": 9, "spread": 0.0}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="give"):
        prompts_needed(**wrong)


def on(prompts: int, even: bool) -> tuple[bool, str]:
    """Whether so many prompts show the planted paths, and what is said of their number; uneven: a third of the prompts
    is not corrupted, so that effects are 0 there.
    """
    plant = planted.induction(noise=0.05)
    task = Task("few", *(values[:prompts].clone() for values in plant.tasks[0][1:5]))
    if not even:
        task.corrupted[::3] = task.clean[::3]
    effects = discover.path_effects(plant.model, task)
    passed = discover.significant(effects.p)
    found = {path for path, at in zip(effects.paths, passed, strict=True) if at}
    se = effects.effect.std(1, ddof=1) / prompts**0.5
    return found >= plant.edges[0], note(effects.effect.mean(1), se, passed, prompts)


def test_the_number_that_is_named_would_do() -> None:
    found, told = on(3, even=False)
    number = int(re.search(r"the largest here .* takes (\d+);", told)[1])  # type: ignore[index]
    assert not found and 9 < number < 30
    assert on(3 * (number // 3 + 1), even=False)[0] and not on(number // 2, even=False)[0]


def test_negative_control_three_prompts_are_enough_where_all_are_alike() -> None:
    found, told = on(3, even=True)
    assert found and "takes" not in told
