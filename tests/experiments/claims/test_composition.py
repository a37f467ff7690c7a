"""Claim 9 on pairs that come to compose, that cease to, and that do as all pairs do."""

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments.claims import composition
from experiments.study.pair_scores import Pairs, Scores
from experiments.study.verdict import Finding


def scores_of(seed: int, grown: float = 0.0, via: int = 1, spread: float = 0.02) -> Scores:
    generator = np.random.default_rng(seed)
    first, second = ([f"L{layer}H{head}" for head in range(8)] for layer in (0, 1))
    early, late, untrained = spread * generator.standard_normal((3, 8, 8, 3))
    late[1, 2, via] += grown
    late[5, 2, via] += grown
    return Scores(f"seed{seed}", first, second, ["q", "k", "v"], early, late + np.array([0.1, 0.2, 0.3]), untrained)


def pairs_of(scores: list[Scores]) -> Pairs:
    return {one.run: [("L0H1", "L1H2"), ("L0H5", "L1H2")] for one in scores}


def judged(every: list[Scores], unsettled: tuple[str, ...] = ()) -> Finding:
    return composition.judge(every, pairs_of(every), [one.run for one in every], unsettled)


def outcome(finding: Finding) -> tuple[str, bool]:
    finding.record()  # it is plain JSON
    return finding.verdict, any(control.fired for control in finding.controls)


def test_pairs_that_come_to_compose_stand_out_among_all() -> None:
    every = [scores_of(seed, 0.15) for seed in (1, 2)]
    found = judged(every)
    assert outcome(found) == ("replicated", False)
    assert found.details["seed1"]["input"] == "k"
    assert {control.name for control in found.controls} == {
        "random pairs, as many",
        "the same pairs in the untrained model",
    }
    plain = found.details["change of score, minus that of all pairs"]
    assert plain["input"] == "k" and plain["mean"] == pytest.approx(0.15, abs=0.05)
    assert plain["interval"][0] < plain["mean"] < plain["interval"][1]


def test_what_all_pairs_do_is_no_finding_and_its_opposite_contradicts() -> None:
    every = [scores_of(seed) for seed in (3, 4)]
    assert outcome(judged(every)) == ("inconclusive", False)
    raised = [one._replace(late=one.late + 5.0) for one in every]
    assert judged(raised).value == pytest.approx(judged(every).value)
    fallen = [one._replace(late=one.late.copy(), untrained=None) for one in every]
    for one in fallen:
        one.late[[1, 5], 2] -= 0.3
    assert outcome(judged(fallen)) == ("contradicted", False)


def test_it_is_absent_where_scores_are_known_to_change_by_less_than_counts() -> None:
    narrow = [scores_of(seed, spread=0.005) for seed in range(6)]
    found = judged(narrow)
    assert outcome(found) == ("absent", False)
    assert found.details["change of score, minus that of all pairs"]["interval"][1] < 0.02
    assert outcome(judged([scores_of(seed, spread=0.1) for seed in range(6)])) == ("inconclusive", False)


def test_without_a_pair_or_a_settled_loss_composition_cannot_be_tested() -> None:
    every = [scores_of(1, 0.15), scores_of(2, 0.15)]
    with pytest.raises(NotMeasurable, match="no pair of heads was found to work together"):
        composition.judge(every, {"seed1": []}, ["seed1", "seed2"])
    one_run = composition.judge(every, pairs_of(every[:1]), ["seed1", "seed2"])
    assert "2 pairs of 1 seeds (seed1)" in one_run.units
    found = judged(every, ("the loss of seed1 still falls",))
    assert found.verdict == "not testable" and found.diagnosis.startswith("the loss of seed1 still falls; ")
    with pytest.raises(ValueError, match="a layer-0 head and a layer-1 head"):
        composition.judge(every, {"seed1": [("L1H2", "L0H1")]}, ["seed1"])
