"""What several circuits have in common, by hand: which paths, what share, and what random matchings give."""

import numpy as np
import pytest

from ablations.names import all_heads
from ablations.paths import Path, parse_path
from circuits.circuit_core import Share, core, found_in, in_all
from tests.conftest import make_model

SHAPE = make_model().cfg  # two layers of three heads
ITSELF = {head: head for head in all_heads(SHAPE)}
ROLLED = {(layer, head): (layer, (head + 1) % 3) for layer, head in all_heads(SHAPE)}  # partners of the first's heads


def paths(*names: str) -> list[Path]:
    return [parse_path(name) for name in names]


FIRST = paths("L0H0->L1H0.k", "L1H0->output")
SECOND = paths("L0H1->L1H1.k", "L1H1->output", "embed->L0H1.v")  # the same by other names, and one more
THIRD = paths("L1H1->output", "embed->output")


def test_paths_are_counted_by_the_names_of_the_first() -> None:
    found = core([FIRST, SECOND, THIRD], [ITSELF, ROLLED, ROLLED], SHAPE, draws=10)
    assert found.paths == paths("L1H0->output")
    expected = {"L0H0->L1H0.k": 2, "L1H0->output": 3, "embed->L0H0.v": 1, "embed->output": 1}
    assert found.found_in == {parse_path(name): count for name, count in expected.items()}
    assert found.of_mean.value == pytest.approx(1 / (7 / 3)) and found.jaccard.value == 1 / 4
    twice = found_in([FIRST, [*SECOND, *SECOND]], [ITSELF, ROLLED])
    assert in_all(twice, 2) == FIRST  # a path that is given twice counts once


def test_without_the_matching_the_core_is_lost() -> None:
    """The negative control: by name the same circuits have nothing in common."""
    found = core([FIRST, SECOND, THIRD], [ITSELF] * 3, SHAPE, draws=10)
    assert found.paths == [] and found.jaccard.value == found.of_mean.value == 0.0
    assert found.jaccard.p == found.of_mean.p == 1.0


def test_random_matchings_give_what_chance_gives() -> None:
    found = core([FIRST, SECOND[:2], SECOND[:2]], [ITSELF, ROLLED, ROLLED], SHAPE, draws=4000)
    assert found.of_mean.value == found.jaccard.value == 1.0
    # the output path is in all where L1H0 has its partner in both (a third each), the other where L0H0 has, too
    assert (found.of_mean.random == 1.0).mean() == pytest.approx(1 / 81, abs=0.006)
    assert (found.of_mean.random == 0.5).mean() == pytest.approx(1 / 9 - 1 / 81, abs=0.02)
    assert found.of_mean.p == found.jaccard.p == (1 + (found.of_mean.random == 1.0).sum()) / 4001
    assert found.of_mean.interval == (0.0, 0.5)
    # a path without heads is in all by any matching, which is no evidence
    plain = core([paths("embed->output")] * 3, [ITSELF] * 3, SHAPE, draws=50)
    assert (plain.jaccard.value, plain.jaccard.p, set(plain.jaccard.random)) == (1.0, 1.0, {1.0})


def test_p_counts_the_matching_at_hand() -> None:
    share = Share(0.5, np.array([0.0, 0.5, 0.25, 1.0]))
    assert share.p == 3 / 5 and Share(0.5, np.zeros(99)).p == 1 / 100


@pytest.mark.parametrize(
    ("circuits", "partners", "message"),
    [
        ([FIRST], [ITSELF], "1 circuits and 1 matchings"),
        ([FIRST, SECOND], [ITSELF], "2 circuits and 1 matchings"),
        ([[], []], [ITSELF, ITSELF], "no circuit has a path"),
    ],
)
def test_what_has_no_core_is_refused(circuits: list, partners: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        core(circuits, partners, SHAPE)
