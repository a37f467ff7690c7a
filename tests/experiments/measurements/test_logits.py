"""Logits over training: the models' own, at the checkpoints and at the further steps that training keeps."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from experiments import runs
from experiments.measurements import logits
from experiments.measurements.logits import LOGITS
from experiments.results.cells import Cells
from experiments.results.keys import key
from experiments.results.plan import default_plan
from experiments.runs.trajectory import FOLDER, holders


@pytest.fixture
def cells(trained: Path, tmp_path: Path) -> Cells:
    """A copy of the run with a further step, which has the weights of step 30."""
    folder = shutil.copytree(trained / "runs/tiny-seed0", tmp_path / "tiny-seed0")
    (folder / FOLDER).mkdir()
    shutil.copy(folder / "step_0000030.safetensors", folder / FOLDER / "step_0000020.safetensors")
    run = runs.open_run(folder)
    return Cells(tmp_path / "out", run, default_plan(run.config["preset"]["corpus"], 64))


def test_logits_are_the_models_own(cells: Cells) -> None:
    found = cells.get(LOGITS).logits
    assert found.step.values.tolist() == [0, 10, 20, 30, 60]
    assert found.shape == (5, logits.ROWS * logits.PLACES, 400)
    rows = cells.inputs.corpus.batch(slice(0, logits.ROWS))
    for step in cells.run.steps:
        with torch.no_grad():
            said = cells.run.model(step)(rows)[:, [15, 31, 47, 63]]
        expected = (said - said.mean(-1, keepdim=True)).flatten(0, 1).numpy()
        assert np.allclose(found.sel(step=step), expected, atol=1e-4)
    assert np.array_equal(found.sel(step=20), found.sel(step=30))
    assert not np.allclose(found.sel(step=20), found.sel(step=60), atol=0.1)  # the control


def test_a_projection_keeps_distances_between_steps(cells: Cells) -> None:
    found = cells.get(LOGITS)
    small = logits.projected(found)
    assert small.logits.shape == (5, logits.DIRECTIONS) and small.logits.dtype == np.float16
    whole, reduced = (one.logits.values.reshape(5, -1).astype(np.float64) for one in (found, small))
    lengths = [pdist(one) for one in (whole, reduced)]
    far = lengths[0] > 0.1 * lengths[0].max()
    assert np.allclose(lengths[1][far], lengths[0][far], rtol=0.12)
    shuffled = pdist(reduced[[1, 4, 0, 2, 3]])
    assert not np.allclose(shuffled[far], lengths[0][far], rtol=0.12), "of other steps they differ"
    assert logits.projected(small) is small


def test_the_cell_depends_on_all_weights(cells: Cells) -> None:
    own = key(cells.inputs, LOGITS, None, {})
    shutil.copy(cells.run.folder / "step_0000010.safetensors", cells.run.folder / FOLDER / "step_0000020.safetensors")
    assert key(cells.inputs, LOGITS, None, {}) != own
    shutil.rmtree(cells.run.folder / FOLDER)
    assert list(holders(cells.run)) == cells.run.steps and key(cells.inputs, LOGITS, None, {}) != own
