"""What is told of several circuits, on planted models: tables, sentences and a page."""

from functools import lru_cache

import pytest

from ablations import forward
from ablations.models import Model
from circuits import planted
from circuits.circuit_across import Member, across
from experiments.pages.across_runs import page, words
from experiments.pages.layout.page import Made, document
from experiments.tasks import circuit_across
from experiments.tasks.circuit_across import ManyCircuits, core_names, frame, heads_frame
from experiments.tasks.circuit_difference import as_effects, by_prompt
from tests.planted import with_permuted_heads

PLANT = planted.induction(noise=0.02)
TASK, CFG = PLANT.tasks[0], PLANT.model.cfg
PATHS = {"embed->L0H1.v", "L0H1->L1H2.k", "L1H2->output"}


@lru_cache
def many(*models: Model) -> ManyCircuits:
    stored = [by_prompt(forward.weights_of(model), CFG, TASK) for model in models]
    found = across([Member(as_effects(cell), cell.feature_value) for cell in stored], CFG, resamples=20, draws=200)
    runs = tuple(f"seed{number}" for number in range(len(models)))
    return ManyCircuits("induction", runs, (10,) * len(models), stored[0].sizes["prompt"], found)


@pytest.fixture(scope="module")
def permuted() -> Model:
    return with_permuted_heads(PLANT.model, [[1, 0, 2, 3], [0, 1, 3, 2]])


@pytest.fixture(scope="module")
def bare() -> Model:
    return planted.induction(noise=0.02, removed=True).model


def test_one_plant_under_other_names_is_one_circuit(permuted: Model) -> None:
    result = many(PLANT.model, permuted, PLANT.model)
    rows = frame(result).set_index("path")
    assert set(rows.index) == {*core_names(result)} == PATHS and (rows.models == 3).all()
    assert rows.loc["L0H1->L1H2.k", ["seed0_path", "seed1_path"]].tolist() == ["L0H1->L1H2.k", "L0H0->L1H3.k"]
    assert rows.seed0.tolist() == pytest.approx(rows.seed1.tolist(), abs=1e-3)
    assert (rows.seed0.abs().diff().iloc[1:] < 1e-4).all(), "in order, but for rounding: the three are nearly as large"
    heads = heads_frame(result).set_index("head")
    assert heads.loc["L0H1", ["seed1", "seed2"]].tolist() == ["L0H0", "L0H1"]
    assert heads.loc["L0H1", ["seed1_share", "seed2_share", "agreement"]].tolist() == [1.0, 1.0, 1.0]
    text = words.as_text(result, 2)
    assert "3 runs on the same 64 prompts of induction: seed0, step 10 (3 paths), seed1, step 10 (3 paths) and" in text
    assert "3 paths are found in all 3: 100% of the mean circuit of 3.0 paths (with heads matched at random " in text
    assert "100% of the 3 that are found in any, the Jaccard index of all" in text and "0 in 2, 0 in 1 alone" in text
    assert "as the one that the others are matched to, 3, 3 and 3 paths are in all; on average 100% of" in text
    assert [line.split()[0] for line in text.splitlines()[-2:]] == core_names(result)[:2]  # no more than asked for
    shown = document(page.page(result, 2, Made("x")))
    assert shown.count("<tr>") == 1 + 2 + 1 + 8 and "as L0H0-&gt;" in shown and "other runs agree" in shown


def test_a_model_without_the_circuit_leaves_no_core(permuted: Model, bare: Model) -> None:
    """The negative control."""
    result = many(PLANT.model, permuted, bare)
    rows = frame(result).set_index("path")
    assert core_names(result) == [] and set(rows.index) == PATHS and set(rows.models) == {2}
    assert not rows.seed2_found.any() and abs(rows.seed2).max() < 0.1
    text = words.as_text(result, 3)
    assert "0 paths are found in all 3: 0% of the mean circuit of 2.0 paths" in text and "p 1)" in text
    assert "3 in 2, 0 in 1 alone" in text and "In every run" not in text
    assert "(-0.0" in text or "(0.0" in text  # what is not found stands in brackets


def test_two_runs_have_no_others_that_agree(permuted: Model) -> None:
    result = many(PLANT.model, permuted)
    text = words.as_text(result, 1)
    assert "\nOn average 100% of a run's paths are in another" in text
    assert "in turn" not in text and "partners of each other" not in text
    assert "other runs agree" not in document(page.page(result, 1, Made("x")))


def test_one_run_is_refused() -> None:
    with pytest.raises(ValueError, match="0 run: a circuit is followed across two or more"):
        circuit_across.check_apart([])
