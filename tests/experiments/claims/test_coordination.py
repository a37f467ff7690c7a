"""Claim 7 on pairs that come to affect the same tokens, on pairs that part, and on none."""

import numpy as np
import pytest

from experiments.claims import coordination
from experiments.heldout import overlap_changes
from experiments.study.verdict import Finding
from tests.experiments.claims.planted_overlaps import HEADS, PAIR, effects_of


def judged(*together: tuple[float, float], by_target: bool = False) -> Finding:
    """Of one seed for each."""
    tables = {
        f"seed{number}": overlap_changes.of_effects(effects_of(number, sizes, by_target))
        for number, sizes in enumerate(together)
    }
    return coordination.judge(tables, list(tables))


def outcome(finding: Finding) -> tuple[str, bool]:
    finding.record()  # it is plain JSON
    return finding.verdict, any(control.fired for control in finding.controls)


def test_a_pair_that_comes_to_affect_the_same_tokens_is_found_in_every_seed() -> None:
    found = judged((0.0, 2.0), (0.0, 2.0), (0.0, 2.0))
    assert outcome(found) == ("replicated", False)
    for run, value in found.details["by seed"].items():
        assert found.details[run]["pairs"] == [list(PAIR)]
        assert found.details[run]["chosen pair"] == list(PAIR)
        assert value == found.details[run]["its change on the testing half"]
    values = np.array(list(found.details["by seed"].values()))
    assert found.value == pytest.approx(values.mean()) and found.interval is not None
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 4.302653 * values.std(ddof=1) / np.sqrt(3))


@pytest.mark.parametrize("together, by_target", [((0.0, 0.0), False), ((2.0, 2.0), False), ((0.0, 2.0), True)])
def test_overlap_that_is_none_or_does_not_change_or_is_of_the_target_is_absent(
    together: tuple[float, float], by_target: bool
) -> None:
    found = judged(*[together] * 4, by_target=by_target)
    assert outcome(found) == ("absent", False)
    assert found.interest is not None and str(found.interest) == "0.1 in r"
    assert all(found.details[f"seed{number}"]["pairs"] == [] for number in range(4))
    assert judged(together, by_target=by_target).verdict == "inconclusive"  # one seed has no interval


def test_pairs_that_part_contradict() -> None:
    tables = {}
    for seed in range(3):
        one, two = effects_of(seed, (2.0, 0.0)), [HEADS.index(name) for name in PAIR]
        only = one._replace(heads=list(PAIR), effect=one.effect[:, two])
        tables[f"seed{seed}"] = overlap_changes.of_effects(only)
    assert outcome(coordination.judge(tables, list(tables))) == ("contradicted", False)


def test_seeds_without_text_are_left_out_or_leave_no_verdict() -> None:
    tables = {"seed0": overlap_changes.of_effects(effects_of(0, (0.0, 2.0)))}
    lacking = {"seed1": "9 documents in the held-out text"}
    found = coordination.judge(tables, ["seed0", "seed1"], lacking)
    assert found.verdict == "not testable" and found.diagnosis.startswith("9 documents")
    found = coordination.judge(tables, ["seed0"], lacking)
    assert found.verdict == "replicated" and found.diagnosis.endswith("9 documents in the held-out text")
