"""Two checkpoints head by head: numbers of the overviews, and heads of two runs matched by what they do."""

import re
from pathlib import Path

import numpy as np
import pytest

from experiments.adopt import adopt
from experiments.heldout.head_types import ATTENTION
from experiments.investigate import overview
from experiments.investigate.investigation import Investigation, compare
from experiments.statistics.intervals import reach
from tests.planted import with_permuted_heads

pytestmark = pytest.mark.usefixtures("small")
ORDERS = [[2, 0, 3, 1], [1, 3, 0, 2]]


@pytest.fixture(scope="module")
def inv(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Investigation:
    return Investigation(trained / "runs/tiny-seed0", out=tmp_path_factory.mktemp("compared") / "out", tokens=1500)


def test_checkpoints_are_compared_head_by_head(inv: Investigation, tmp_path: Path) -> None:
    found = inv.compare(0, 60)
    first, second = overview.frame(inv.at(0).snapshot), overview.frame(inv.snapshot)
    table = found.table
    assert table.index.tolist() == table.partner.tolist() == inv.snapshot.heads
    for measure in ("effect", "rllc", *ATTENTION):
        assert np.allclose(table[f"{measure}_change"], second[measure] - first[measure], equal_nan=True)
    half = np.hypot(*(reach(one.effect_degrees.to_numpy()) * one.effect_se.to_numpy() for one in (first, second)))
    assert np.allclose(table.effect_half, half)
    assert not np.allclose(table.rllc_change, 0)  # the control: the checkpoints differ
    page = found.save(tmp_path / "two.html").read_text()
    assert "step 0, and tiny-seed0, step 60" in page and "http" not in page and "matched with" not in page


def test_heads_of_another_run_are_matched(inv: Investigation, tmp_path: Path) -> None:
    other = with_permuted_heads(inv.run.model(60), ORDERS)
    corpus = inv.run.config["preset"]["corpus"]
    run = adopt(tmp_path / "runs/permuted", {60: other}, inv.run.tokenizer, corpus=corpus, tokens_per_step=1)
    found = compare(inv, Investigation(run, out=tmp_path / "out", tokens=1500))
    expected = [f"L{name[1]}H{ORDERS[int(name[1])].index(int(name[3]))}" for name in inv.snapshot.heads]
    assert found.table.partner.tolist() == expected
    assert expected != inv.snapshot.heads  # the control
    assert np.allclose(found.table.effect_change, 0, atol=1e-4)
    assert "matched with" in found._repr_html_()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda inv: inv.compare(60, 60), "tiny-seed0 at step 60 against itself"),
        (lambda inv: inv.compare("L0H1", 60), "give two heads by name, or two checkpoints by step"),
        (lambda inv: inv.compare(7, 60), "no checkpoint at step 7"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(inv: Investigation, wrong, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        wrong(inv)
    assert "\n" not in str(raised.value)
