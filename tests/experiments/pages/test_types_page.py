"""The page of types says what is known of every head at every checkpoint, why, and where its card is."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from circuits import classify
from experiments import runs
from experiments.heldout import head_types
from experiments.heldout.head_types import ATTENTION, ENDS
from experiments.pages import types_page
from experiments.pages.layout import page as layout
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from tests.experiments.pages.page_checks import faults

HEADS, STEPS = ("L0H5", "L1H4"), (4800, 28000)


def table(types: tuple[str, str], why: str) -> xr.Dataset:
    """A table of types of two heads, with all that the page reads of it."""
    names = [f"{name}{end}" for name in ("effect", *ATTENTION) for end in ENDS]
    data: dict = {name: ("restriction", np.array([0.25, 0.5])) for name in names}
    data |= {"type": ("restriction", [*types]), "why": ("restriction", [why, why])}
    data["labels"] = ("restriction", [f"{one}, quote" for one in types])
    data |= {"affected": (("restriction", "kind"), np.array([[0.75, 0.25], [0.0, 1.0]]))}
    data |= {
        "learned": (("restriction", "sort"), np.array([[3, 4], [1, 1]])),
        "multigrams": ("sort", np.array([10, 20])),
    }
    coords = {"restriction": [*HEADS], "kind": ["induction", "none"], "sort": ["n-gram", "skip n-gram"]}
    return xr.Dataset(data, coords, {"tokens": 1000, "documents": 300})


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cells:
    """Results of the bundled run in which attention scores are known at one checkpoint."""
    scores = xr.Dataset({name: ("restriction", [0.12, 0.34]) for name in ATTENTION}, {"restriction": [*HEADS]})
    monkeypatch.setattr(Cells, "read", lambda self, kind, step: scores if step == 4800 else None)
    return Cells(tmp_path, runs.open_run("mini-seed0"), default_plan("python", 256))


def page(cells: Cells, why: str = "attends 0.46") -> str:
    tables = {STEPS[0]: table(("mixed", "inactive"), why), STEPS[1]: table(("previous-token", "induction"), why)}
    (cells.folder / "types.html").touch()
    return layout.document(types_page.page(cells, STEPS[1], tables, b"<svg/>", cells.folder / "types.html"))


def test_every_head_has_its_type_at_every_known_checkpoint(cells: Cells) -> None:
    shown = page(cells)
    assert faults(shown, cells.folder) == []
    rows = {"L0H5": ("mixed", "previous-token"), "L1H4": ("inactive", "induction")}
    for head, types in rows.items():
        assert f"<td class=w>{head}</td>" + "".join(f"<td class=w>{one}</td>" for one in types) in shown
    missing = ", ".join(str(step) for step in cells.run.steps if step not in STEPS)
    assert f"Not measured yet at the steps {missing};" in shown
    assert shown.index(">Step 28000</h2>") < shown.index(">Step 4800</h2>")
    assert "7 of 30" in shown and "2 of 30" in shown and 'aria-label="75% induction, 25% none"' in shown
    assert shown.count("<td>0.12</td>") == len(ATTENTION), "scores of the checkpoint at which they are known"


def test_the_rules_are_those_that_decide(cells: Cells) -> None:
    shown = " ".join(page(cells).split())
    for threshold in (classify.PREVIOUS_TOKEN, classify.CURRENT_TOKEN):
        assert f"a mean attention of {threshold:g} to the token " in shown
    assert f"keeps {100 * classify.KEPT:g}% of its effect" in shown and "induction, quote" in shown


def test_heads_lead_to_their_cards_of_the_same_checkpoint(cells: Cells) -> None:
    assert 'href="heads/' not in page(cells), "the control"
    (cells.folder / "heads").mkdir()
    for name in ("L1H4", "L0H5_4800"):
        (cells.folder / "heads" / f"{name}.html").touch()
    shown = page(cells)
    assert shown.count('<a href="heads/L1H4.html">L1H4</a>') == 1
    assert shown.count('<a href="heads/L0H5_4800.html">L0H5</a>') == 1 and faults(shown, cells.folder) == []


def test_what_is_told_of_tokens_is_escaped(cells: Cells) -> None:
    shown = page(cells, why="<script>alert(1)</script>")
    assert "<script" not in shown and shown.count("&lt;script&gt;") == 4


def test_tables_of_other_checkpoints_are_those_on_as_many_tokens(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = table(("mixed", "mixed"), "x"), table(("inactive", "inactive"), "y")
    asked = []

    def pass_for(of: Cells, step: int, tokens: int | None, heads: tuple[str, ...]) -> int:
        asked.append((tokens, tuple(heads)))
        return step

    monkeypatch.setattr(head_types, "pass_for", pass_for)
    monkeypatch.setattr(head_types, "known", lambda of, step: other if step in (800, 28000) else None)
    found = types_page.known(cells, 28000, own, 5000, HEADS)
    assert list(found) == [800, 28000] and found[28000] is own and found[800].type.values.tolist() == ["inactive"] * 2
    assert set(asked) == {(5000, HEADS)}
