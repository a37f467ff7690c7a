"""The difference of two circuits: none of one plant, what was taken out of another, moves, and intervals by peers."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from ablations import forward
from ablations.models import Model
from ablations.paths import parse_path
from circuits import planted, planted_heads, planted_model, planted_prompts
from circuits.circuit_difference import difference, moved
from circuits.discover import path_effects
from circuits.discover_paths import Effects
from circuits.head_matching import features, match
from tests.planted import with_permuted_heads

QUIET = {"embed->L1H1.k", "embed->L1H1.v", "L1H1->output"}


def two_ways(both: bool = True) -> Model:
    """L0H2 says c after "a ... b", and where both are there L1H1 says it too, at half of that."""
    loud, quiet = planted_heads.skip_trigram(), planted_heads.skip_trigram()
    quiet.W_O.mul_(0.5 if both else 0.0)
    return planted_model.build({(0, 2): loud, (1, 1): quiet}, False, 0.0, 0, False)


def paths(table: xr.Dataset, change: str) -> set[str]:
    return set(table.path.values[table.change.values == change].tolist())


def made(effect: np.ndarray, p: list[float]) -> Effects:
    names = [parse_path(f"L0H{number}->output") for number in range(len(effect))]
    return Effects(tuple(names), effect, np.ones(effect.shape[1]), np.zeros(effect.shape[1]), np.array(p))


def test_one_plant_does_not_differ_from_itself() -> None:
    plant = planted.induction(noise=0.05)
    same = path_effects(plant.model, plant.tasks[0])
    table = difference(same, same, paired=True)
    assert set(table.change.values) <= {"kept", ""} and (table.p == 1).all()
    assert len(paths(table, "kept")) >= len(plant.edges[0])
    others = [path_effects(plant.model, planted_prompts.repeats(seed)) for seed in range(10, 16)]
    differing = [difference(same, other, paired=False) for other in others]
    assert sum(bool((each.q <= 0.05).any()) for each in differing) <= 1  # of six, at 5%


def test_what_was_taken_out_is_lost_and_nothing_else() -> None:
    task = planted_prompts.skips(0)
    whole, part = (path_effects(two_ways(both), task) for both in (True, False))
    lost = difference(whole, part, paired=True)
    assert paths(lost, "lost") == QUIET and not paths(lost, "gained") and not paths(lost, "changed")
    assert paths(lost, "kept") == {"embed->L0H2.k", "embed->L0H2.v", "L0H2->output"}
    assert float(lost.difference.sel(path="L1H1->output")) == pytest.approx(4, abs=1e-3)  # half of 8
    gained = difference(part, whole, paired=True)
    assert paths(gained, "gained") == QUIET and not paths(gained, "lost")


def test_a_circuit_that_moved_to_other_heads_is_moved() -> None:
    plant = planted.induction(noise=0.02)
    task = plant.tasks[0]
    other = with_permuted_heads(plant.model, [[1, 0, 2, 3], [0, 1, 3, 2]])
    first, second = path_effects(plant.model, task), path_effects(other, task)
    by_name = difference(first, second, paired=True)
    assert {"L0H1->L1H2.k", "L1H2->output"} <= paths(by_name, "lost")
    assert {"L0H0->L1H3.k", "L1H3->output"} <= paths(by_name, "gained")
    described = [features(forward.weights_of(model), model.cfg, task) for model in (plant.model, other)]
    matched = difference(first, second, match(*described, resamples=2).partner, paired=True)
    assert set(matched.change.values) == {"kept", ""}
    pairs = dict(zip(*(moved(by_name, matched)[name].values.tolist() for name in ("path", "counterpart")), strict=True))
    assert pairs["L0H1->L1H2.k"] == "L0H0->L1H3.k" and pairs["embed->L0H1.v"] == "embed->L0H0.v"
    assert moved(by_name, by_name).sizes["path"] == 0  # the control: under their own names none moved


def test_intervals_and_p_are_those_of_t_tests() -> None:
    draws = np.random.default_rng(0)
    one, other = (made(draws.normal(size=(5, 12)) - 1, [0.001] * 5) for _ in range(2))
    fewer = made(draws.normal(size=(5, 9)) * 3, [0.001] * 5)
    paired, apart = difference(one, other, paired=True), difference(one, fewer, paired=False)
    for table, peer in (
        (paired, stats.ttest_rel(other.effect, one.effect, axis=1)),
        (apart, stats.ttest_ind(fewer.effect, one.effect, axis=1, equal_var=False)),
    ):
        low, high = peer.confidence_interval(0.95)
        assert np.allclose(table.p, peer.pvalue)
        assert np.allclose(table.difference - table.difference_half, low)
        assert np.allclose(table.difference + table.difference_half, high)
        assert np.allclose(table.q, stats.false_discovery_control(peer.pvalue))


def test_words() -> None:
    noise = np.random.default_rng(1).normal(size=(6, 40))
    was = noise + np.array([-5, -5, -1, 0, -5, 0])[:, None]
    now = noise[:, ::-1] + np.array([-5, 0, -1, -5, -9, 0])[:, None]
    first = made(was, [0.001, 0.001, 0.001, 0.9, 0.001, 0.9])
    second = made(now, [0.001, 0.9, 0.9, 0.001, 0.001, 0.9])
    table = difference(first, second, paired=True)
    assert table.change.values.tolist() == ["kept", "lost", "undecided", "gained", "changed", ""]


def test_effects_are_put_beside_those_of_the_same_path() -> None:
    draws = np.random.default_rng(2).normal(size=(3, 8))
    first = made(draws, [0.5] * 3)
    turned = first._replace(paths=first.paths[::-1], effect=draws[::-1])
    assert (difference(first, turned, paired=True).difference == 0).all()


def test_bad_calls_are_refused() -> None:
    some = made(np.zeros((2, 5)), [0.5, 0.5])
    with pytest.raises(ValueError, match="5 and 4 prompts cannot be paired"):
        difference(some, made(np.zeros((2, 4)), [0.5, 0.5]), paired=True)
    with pytest.raises(ValueError, match="not measured on the same paths"):
        difference(some, made(np.zeros((3, 5)), [0.5] * 3), paired=True)
    with pytest.raises(ValueError, match="attributions have none"):
        difference(made(np.zeros((2, 5)), [np.nan] * 2), some, paired=True)
