"""Claims of pairs of heads and of multigrams that move: planted truths, their opposites, and what must not be found."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from ablations import overlap
from experiments import runs
from experiments.claims import composition, coordination, migration
from experiments.claims.composition import Scores
from experiments.claims.coordination import Effects
from experiments.claims.migration import Moving
from experiments.figures import migration as migration_figure
from experiments.figures import tokens_in_context
from experiments.plots.head_types import KIND_COLORS
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.statistics import overlap_change
from experiments.statistics.halves import balanced_half
from experiments.study.study import Study
from experiments.study.verdict import Finding

HEADS = ["L0H0", "L0H1", "L0H2", "L1H0", "L1H1", "L1H2"]
TOKENS, DOCUMENTS = 12_000, 60
PAIR = ("L0H1", "L1H2")


def effects_of(seed: int, together: tuple[float, float] = (0.0, 0.0), by_target: bool = False) -> Effects:
    """Noise, and for each snapshot a part that the pair has in common; by_target: all of a target's tokens alike."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 20, TOKENS)
    effect = generator.standard_normal((2, len(HEADS), TOKENS))
    of_targets = 5 * generator.standard_normal(20)[target]
    for time, size in enumerate(together):
        common = of_targets if by_target else generator.standard_normal(TOKENS)
        for name in PAIR:
            effect[time, HEADS.index(name)] += size * common
    document = np.sort(generator.integers(0, DOCUMENTS, TOKENS)) * 7
    clean = generator.exponential(size=(2, TOKENS))
    return Effects(f"seed{seed}", HEADS, effect.astype(np.float32), clean, target, document)


def outcome(finding: Finding) -> tuple[str, bool]:
    finding.record()  # it is plain JSON
    return finding.verdict, any(control.fired for control in finding.controls)


def test_a_pair_that_comes_to_affect_the_same_tokens_is_found_in_every_run() -> None:
    every = [effects_of(seed, (0.0, 2.0)) for seed in (1, 2)]
    found = coordination.judge(every)
    assert outcome(found) == ("replicated", False)
    for one in every:
        assert found.details[one.run]["pairs"] == [list(PAIR)]
        assert found.details[one.run]["chosen pair"] == list(PAIR)


@pytest.mark.parametrize("together, by_target", [((0.0, 0.0), False), ((2.0, 2.0), False), ((0.0, 2.0), True)])
def test_overlap_that_is_none_or_does_not_change_or_is_of_the_target_is_no_coordination(
    together: tuple[float, float], by_target: bool
) -> None:
    found = coordination.judge([effects_of(5, together, by_target)])
    assert outcome(found) == ("inconclusive", False)
    assert found.details["seed5"]["pairs"] == []


def test_pairs_that_part_contradict_and_few_documents_say_nothing() -> None:
    one = effects_of(6, (2.0, 0.0))
    two = [HEADS.index(name) for name in PAIR]
    only = one._replace(heads=list(PAIR), effect=one.effect[:, two])
    assert outcome(coordination.judge([only])) == ("contradicted", False)
    few = one._replace(document=one.document // 70)
    assert coordination.judge([few]).verdict == "not testable"


def test_overlap_is_what_is_shared_beyond_chance_over_the_lists_lengths() -> None:
    at = coordination.snapshot(effects_of(7, (1.0, 1.0)), 1, np.ones(TOKENS, dtype=bool))
    every = np.ones(len(HEADS), dtype=bool)
    value, influence = overlap_change.correlation(at, every, every)
    shared = overlap.shared(at.chosen, at.strata)
    above = shared.both - shared.chance
    np.testing.assert_allclose(value, above / np.sqrt(np.outer(np.diag(above), np.diag(above))), atol=1e-12)
    np.testing.assert_allclose(np.diag(value), 1, atol=1e-12)  # a list with itself
    np.testing.assert_allclose(influence.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(influence[:, range(6), range(6)], 0, atol=1e-12)


def test_the_error_is_that_of_leaving_documents_out() -> None:
    one, layer = effects_of(8, (1.0, 1.0)), np.array([0, 0, 0, 1, 1, 1])
    at = coordination.snapshot(one, 0, np.ones(TOKENS, dtype=bool))
    _, influence = overlap_change.correlation(at, layer == 0, layer == 1)
    without = []
    for document in np.unique(at.document):
        kept = at.document != document
        rest = overlap_change.Snapshot(at.chosen[:, kept], at.strata[kept], at.document[kept])
        without.append(overlap_change.correlation(rest, layer == 0, layer == 1)[0])
    jackknife = np.sqrt((DOCUMENTS - 1) / DOCUMENTS * ((without - np.mean(without, axis=0)) ** 2).sum(0))
    np.testing.assert_allclose(np.sqrt((influence**2).sum(0)), jackknife, rtol=0.1)


def test_turned_lists_spread_as_all_permutations_do() -> None:
    at, layer = coordination.snapshot(effects_of(9), 0, np.ones(TOKENS, dtype=bool)), np.array([0, 0, 0, 1, 1, 1])
    drawn = overlap_change.permuted_correlations(at, layer == 0, layer == 1, 800, seed=0)
    shared = overlap.shared(at.chosen, at.strata)
    length = np.sqrt(np.diag(shared.both - shared.chance))
    expected = (shared.chance_sd / np.outer(length, length))[:3, 3:]
    assert (np.abs(drawn.mean(0)) < 4 * expected / np.sqrt(800)).all()
    # one order of the tokens: its own variance differs from that of all, by the more the fewer strata there are
    np.testing.assert_allclose(drawn.std(0), expected, rtol=0.25)


def test_halves_are_of_whole_documents_and_as_large_as_can_be() -> None:
    documents = np.repeat(np.arange(9), [100, 40, 30, 20, 10, 5, 3, 1, 1])
    inside = balanced_half(documents)
    assert abs(int(inside.sum()) - int((~inside).sum())) <= 1
    assert not set(documents[inside]) & set(documents[~inside])


def scores_of(seed: int, grown: float = 0.0, via: int = 1) -> Scores:
    generator = np.random.default_rng(seed)
    first, second = ([f"L{layer}H{head}" for head in range(8)] for layer in (0, 1))
    early, late, untrained = 0.02 * generator.standard_normal((3, 8, 8, 3))
    late[1, 2, via] += grown
    late[5, 2, via] += grown
    return Scores(f"seed{seed}", first, second, ["q", "k", "v"], early, late + np.array([0.1, 0.2, 0.3]), untrained)


def pairs_of(scores: list[Scores]) -> coordination.Pairs:
    return {one.run: [("L0H1", "L1H2"), ("L0H5", "L1H2")] for one in scores}


def test_pairs_that_come_to_compose_stand_out_among_all() -> None:
    every = [scores_of(seed, 0.15) for seed in (1, 2)]
    found = composition.judge(every, pairs_of(every))
    assert outcome(found) == ("replicated", False)
    assert found.details["seed1"]["input"] == "k"
    assert {control.name for control in found.controls} == {
        "random pairs, as many",
        "the same pairs in the untrained model",
    }


def test_what_all_pairs_do_is_no_finding_and_its_opposite_contradicts() -> None:
    every = [scores_of(seed) for seed in (3, 4)]
    assert outcome(composition.judge(every, pairs_of(every))) == ("inconclusive", False)
    raised = [one._replace(late=one.late + 5.0) for one in every]
    assert composition.judge(raised, pairs_of(raised)).value == pytest.approx(
        composition.judge(every, pairs_of(every)).value
    )
    fallen = [one._replace(late=one.late.copy(), untrained=None) for one in every]
    for one in fallen:
        one.late[[1, 5], 2] -= 0.3
    assert outcome(composition.judge(fallen, pairs_of(fallen))) == ("contradicted", False)


def test_without_a_pair_composition_cannot_be_tested() -> None:
    every = [scores_of(1), scores_of(2)]
    assert composition.judge(every, {"seed1": []}).verdict == "not testable"
    one_run = composition.judge(every, pairs_of(every[:1]), ["seed1", "seed2"])
    assert "2 pairs of 1 seeds (seed1)" in one_run.units
    with pytest.raises(ValueError, match="a layer-0 head and a layer-1 head"):
        composition.judge(every, {"seed1": [("L1H2", "L0H1")]})


def moving_of(seed: int, forth: int = 0, back: int = 0, targets: int = 100) -> Moving:
    """100 multigrams, 80 completions of each: the first `forth` go from layer 0 to 1, the next `back` the other way."""
    generator = np.random.default_rng(seed)
    number = np.repeat(np.arange(100), 80)
    document = generator.integers(0, 50, len(number))
    effect = 0.3 * generator.standard_normal((2, 4, len(number)))
    effect[0, 0] += 1.0
    effect[1, 0] += 1.5  # layer 0 comes to matter more for all of them
    for direction, moved in ((1, number < forth), (-1, (number >= forth) & (number < forth + back))):
        effect[1, 0, moved] -= direction * 0.8
        effect[1, 3, moved] += direction * 0.8
    said = [f"'a{k}' -> 'b'" for k in range(100)]
    heads, half = ["L0H0", "L0H1", "L1H0", "L1H1"], balanced_half(document)
    return Moving(f"seed{seed}", heads, effect, number, document, half, np.arange(100) % targets, said)


def test_multigrams_that_move_are_counted_and_three_are_shown_in_full() -> None:
    found = migration.judge([moving_of(1, forth=15), moving_of(2, forth=12, back=2)])
    assert outcome(found) == ("replicated", False)
    assert found.details["seed2"]["moves from 0 to 1"] == 12
    assert found.details["seed2"]["moves from 1 to 0"] == 2
    shown = found.details["shown in full"]["seed1"]
    assert len(shown) == 3 and {row["multigram"] for row in shown} <= {f"'a{k}' -> 'b'" for k in range(15)}
    layer = shown[0]["effect"]["layer 1"]
    assert abs(layer["late"] - layer["early"] - 0.8) < 4 * np.hypot(layer["se early"], layer["se late"])
    assert found.p == pytest.approx(stats.binom.sf(26, 29, 0.5))  # 27 of 29 targets


def test_moves_back_contradict_and_none_say_nothing() -> None:
    assert outcome(migration.judge([moving_of(3, back=15)])) == ("contradicted", False)
    assert outcome(migration.judge([moving_of(4)])) == ("inconclusive", False)
    assert outcome(migration.judge([moving_of(5, forth=10, back=10)])) == ("inconclusive", False)


def test_multigrams_of_one_target_have_one_vote_and_too_few_none() -> None:
    together = moving_of(6, forth=15)
    together = together._replace(target=np.where(np.arange(100) < 15, 0, np.arange(100)))
    assert outcome(migration.judge([together])) == ("inconclusive", False)
    few = moving_of(7, forth=15)
    inside = few.number < 49
    few = few._replace(
        effect=few.effect[:, :, inside], number=few.number[inside], document=few.document[inside],
        half=few.half[inside], target=few.target[:49],
    )  # fmt: skip
    assert migration.judge([few]).verdict == "not testable"


def test_what_layers_gain_on_all_multigrams_is_no_move() -> None:
    one = moving_of(8, forth=10)
    more = one.effect.copy()
    more[1, 1] += 3.0
    more[1, 2] -= 2.0
    first, second = migration.changes(one), migration.changes(one._replace(effect=more))
    np.testing.assert_allclose(first.value, second.value, atol=1e-12)
    np.testing.assert_allclose(first.value.mean(2), 0, atol=1e-12)


def test_layers_whose_spreads_alone_favour_a_direction_fire_the_control() -> None:
    """Layer 0 falls for seven of ten multigrams, layer 1 rises for seven of ten, neither minding the other's."""
    one = moving_of(9)
    effect, number = one.effect.copy(), one.number
    effect[1, 0, number % 10 < 7] -= 2.0
    effect[1, 2, number // 10 < 7] += 2.0
    found = migration.judge([one._replace(effect=effect)])
    assert found.details["seed9"]["moves from 0 to 1"] == 49
    assert found.details["seed9"]["moves from 1 to 0"] == 9
    assert found.p is not None and found.p < 1e-6
    assert outcome(found) == ("inconclusive", True)


def test_figures_of_moves_draw_with_and_without_any(tmp_path: Path) -> None:
    for forth in (5, 0):
        data = migration_figure.dataset(moving_of(10, forth=forth), (100, 800))
        assert data.sizes["shown"] == min(3, forth)
        figure = migration_figure.draw(data)
        figure.savefig(tmp_path / "moves.svg")
        assert f"from layer 0 to layer 1: {forth}" in _words(tmp_path / "moves.svg")


def test_claims_and_figures_read_a_run(
    trained: Path, corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes of 3,000 tokens, and multigrams of little text; types would take long and are not what is tested."""
    for name, value in {
        "heldout.head_types.TOKENS": 3000,
        "heldout.text_multigrams.MINED_TOKENS": 60_000,
        "heldout.text_multigrams.MOST": 20,
    }.items():
        monkeypatch.setattr(f"experiments.{name}", value)
    run = runs.open_run(trained / "runs/tiny-seed0")
    cells = Cells(tmp_path, run, default_plan(f"text:{corpus_file}", 64))
    study = Study((cells,))
    one = coordination.effects_of(study, cells)
    assert one.effect.shape == (2, len(one.heads), len(one.target)) and (one.effect[0] != one.effect[1]).any()
    moving = migration.moving_of(study, cells)
    assert moving.effect.shape[:2] == (2, len(one.heads)) and len(moving.texts) == len(moving.target)
    assert set(np.unique(moving.number)) <= set(range(len(moving.texts)))
    scores = composition.scores_of(cells)
    assert scores.untrained is not None and np.isfinite(scores.late - scores.early).all()
    outcome(composition.judge([scores], {run.name: [("L0H0", "L1H0")]}))
    monkeypatch.setattr(Study, "types", lambda study, cells, step: _types(one.heads))
    data = tokens_in_context.compute(cells)
    top = one.effect.max(2)
    np.testing.assert_allclose(data.effect.isel(shown=0).values, top, rtol=1e-4)  # the most affected of all
    assert (data.before.str.len() <= tokens_in_context.BEFORE).all()
    tokens_in_context.draw(data).savefig(tmp_path / "context.svg")
    assert "end of training" in _words(tmp_path / "context.svg")


def _types(heads: list[str]) -> xr.Dataset:
    kinds = list(KIND_COLORS)
    shares = np.full((len(heads), len(kinds)), 1 / len(kinds))
    data = {"affected": (("restriction", "kind"), shares), "type": ("restriction", ["mixed"] * len(heads))}
    return xr.Dataset(data, {"restriction": heads, "kind": kinds})


def _words(picture: Path) -> str:
    """matplotlib says what it draws as outlines in comments."""
    return " ".join(re.findall(r"<!-- (.*?) -->", picture.read_text()))
