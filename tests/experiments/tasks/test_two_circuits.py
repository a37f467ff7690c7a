"""What is told of two circuits' difference, and of self-repair, on planted models."""

import numpy as np
import pytest

from ablations import forward
from ablations.models import Model
from ablations.paths import parse_path
from circuits import planted
from circuits.head_matching import SURE
from circuits.self_repair import self_repair
from circuits.tasks import Task
from experiments.pages import circuit_change, circuit_self_repair
from experiments.tasks import circuit_difference
from experiments.tasks.circuit_difference import Difference, Ends
from tests.planted import backed_up, with_permuted_heads

PLANT = planted.induction(noise=0.02)
TASK = PLANT.tasks[0]


def differ(first: Model, second: Model, *, one_run: bool, other: Task = TASK) -> Difference:
    ends = Ends("induction", ("one, step 10", "two, step 20"), "20", one_run, other is TASK)
    tasks = zip((first, second), (TASK, other), strict=True)
    both = [circuit_difference.by_prompt(forward.weights_of(model), model.cfg, task) for model, task in tasks]
    return circuit_difference.differ(*both, ends, first.cfg)


@pytest.fixture(scope="module")
def permuted() -> Model:
    return with_permuted_heads(PLANT.model, [[1, 0, 2, 3], [0, 1, 3, 2]])


def test_within_a_run_a_circuit_of_other_heads_has_moved(permuted: Model) -> None:
    found = differ(PLANT.model, permuted, one_run=True)
    rows = circuit_difference.frame(found).set_index("path")
    assert rows.loc["L0H1->L1H2.k", ["counterpart", "change"]].tolist() == ["L0H0->L1H3.k", "moved"]
    assert not rows.change.isin(["lost", "gained"]).any()  # each of these is one end of a move
    assert abs(rows.loc[rows.change == "moved", "difference"]).max() < 1e-3
    text = circuit_change.as_text(found, 5)
    assert "From one, step 10 to two, step 20, on the same prompts, paired: " in text and " moved (at a false" in text
    assert "Paths are compared by name" in text and "as L0H0->L1H3.k" in text
    assert "100% of the paths of one, step 10 are in two, step 20, and 100% the other way round" in text
    page = circuit_change.section(found, 3).body
    assert page.count("<tr>") == 4 and "L0H1-&gt;L1H2.k as L0H0-&gt;L1H3.k" in page


def test_between_runs_heads_are_matched_first(permuted: Model) -> None:
    found = differ(PLANT.model, permuted, one_run=False)
    rows = circuit_difference.frame(found)
    assert set(rows.change) == {"kept"} and found.moved.sizes["path"] == 0
    assert found.matching.sure(parse_path("L0H1->L1H2.k"))  # the planted ones; those of noise need not be
    sure = sum(share >= SURE for share in found.matching.share.values())
    assert f"{sure} of 8 heads have the same partner in at least 80%" in circuit_change.as_text(found, 5)


def test_the_same_model_on_other_prompts_is_kept_and_one_without_the_plant_has_lost_all() -> None:
    other = planted.induction(seed=1).tasks[0]
    same = differ(PLANT.model, PLANT.model, one_run=True, other=other)
    rows = circuit_difference.frame(same)
    assert not rows.change.isin(["lost", "gained", "changed", "moved"]).any() and (rows.change == "kept").sum() >= 3
    assert "prompts of each run's own" in circuit_change.sentences(same)[0]
    bare = planted.induction(noise=0.02, removed=True).model
    lost = differ(PLANT.model, bare, one_run=True)
    assert set(circuit_difference.frame(lost).change) == {"lost"} and lost.universal is None
    assert "one of the two has no paths" in circuit_change.as_text(lost, 5)


def test_self_repair_is_told_where_it_is() -> None:
    task = planted.skip_trigram().tasks[0]
    parts = self_repair(forward.weights_of(backed_up()), backed_up().cfg, task)
    told = "L0H2 (direct -8.00, total -3.20: 60% made up for)"
    assert circuit_self_repair.sentence(parts).endswith(told)
    page = circuit_self_repair.section(parts).body
    assert "<td class=w>L1H1 (+4.80)</td>" in page and "60%" in page
    alone = backed_up(inhibited=False)  # the control
    none = self_repair(forward.weights_of(alone), alone.cfg, task)
    assert "of no head" in circuit_self_repair.sentence(none) and "made up for)" not in circuit_self_repair.sentence(
        none
    )
    assert not np.isnan(float(none.repaired.sel(patched="L0H2")))
