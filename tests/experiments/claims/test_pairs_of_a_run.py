"""What a trained run gives to the claims of pairs of heads and of multigrams, and the figure of tokens in context."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import runs
from experiments.claims import composition
from experiments.figures import tokens_in_context
from experiments.heldout import head_types, multigram_moves, overlap_changes
from experiments.heldout.multigram_moves import MULTIGRAM_MOVES
from experiments.heldout.overlap_changes import OVERLAP_CHANGES
from experiments.plots.head_types import KIND_COLORS
from experiments.results import committed
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.study import compute
from experiments.study.pair_scores import scores_of
from experiments.study.study import Study


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
    last, record = run.steps[-1], head_types.pass_of_types(cells, run.steps[-1]).record()
    one = overlap_changes.effects_of(cells, last, record)
    assert one.effect.shape == (2, len(one.heads), len(one.target)) and (one.effect[0] != one.effect[1]).any()
    moving = multigram_moves.moving_of(cells, last, record)
    assert moving.effect.shape[:2] == (2, len(one.heads)) and len(moving.texts) == len(moving.target)
    assert set(np.unique(moving.number)) <= set(range(len(moving.texts)))
    scores = scores_of(cells)
    assert scores.untrained is not None and np.isfinite(scores.late - scores.early).all()
    assert composition.judge([scores], {run.name: [("L0H0", "L1H0")]}, [run.name]).record()
    _is_committed(cells, record, tmp_path / "beside", monkeypatch)
    monkeypatch.setattr(Study, "types", lambda study, cells, step: _types(one.heads))
    data = tokens_in_context.compute(cells)
    top = one.effect.max(2)
    np.testing.assert_allclose(data.effect.isel(shown=0).values, top, rtol=1e-4)  # the most affected of all
    assert (data.before.str.len() <= tokens_in_context.BEFORE).all()
    tokens_in_context.draw(data).savefig(tmp_path / "context.svg")
    assert "end of training" in _words(tmp_path / "context.svg")


def _is_committed(cells: Cells, record: dict, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed is what was measured, and is read in another folder; not that of another early model."""
    monkeypatch.setattr(committed, "FOLDER", folder)
    last, elsewhere = cells.run.steps[-1], replace(cells, folder=folder / "elsewhere", committed=True)
    for kind in (OVERLAP_CHANGES, MULTIGRAM_MOVES):
        assert elsewhere.missing(kind, last, ablation=record)
        made = cells.get(kind, last, ablation=record)
        assert cells.commit(kind, last, ablation=record).stat().st_size < 100_000
        xr.testing.assert_equal(elsewhere.get(kind, last, ablation=record), made)
        assert not elsewhere.missing(kind, last, ablation=record)
    assert [kind for kind, *_ in compute.of_both_snapshots(elsewhere, known=True)] == [OVERLAP_CHANGES, MULTIGRAM_MOVES]
    assert not compute.of_both_snapshots(elsewhere)  # no pass over the text at the early snapshot
    assert len(compute.of_both_snapshots(replace(elsewhere, committed=False))) == 2
    assert Study((elsewhere,)).multigram_moves(elsewhere).attrs["known"] == made.attrs["known"]
    with monkeypatch.context() as patch:
        patch.setattr(overlap_changes, "middle_step", lambda run: run.steps[0])
        assert elsewhere.missing(OVERLAP_CHANGES, last, ablation=record)


def _types(heads: list[str]) -> xr.Dataset:
    kinds = list(KIND_COLORS)
    shares = np.full((len(heads), len(kinds)), 1 / len(kinds))
    data = {"affected": (("restriction", "kind"), shares), "type": ("restriction", ["mixed"] * len(heads))}
    return xr.Dataset(data, {"restriction": heads, "kind": kinds})


def _words(picture: Path) -> str:
    """matplotlib says what it draws as outlines in comments."""
    return " ".join(re.findall(r"<!-- (.*?) -->", picture.read_text()))
