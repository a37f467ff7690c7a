"""Maps of tokens over training, on few tokens of a tiny run."""

from pathlib import Path

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.figures import embryo
from experiments.measurements.susceptibilities import SUSCEPTIBILITIES
from experiments.results.cells import Cells
from experiments.results.plan import default_plan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small")]


def test_it_shows_the_tokens_at_a_few_checkpoints_in_both_ways(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.measurements.susceptibilities.TOKENS", 630)
    monkeypatch.setattr("experiments.measurements.susceptibilities.CHECKPOINTS", 2)
    monkeypatch.setattr("experiments.figures.embryo.SHOWN", 150)
    run = runs.open_run(trained / "runs/tiny-seed0")
    cells = Cells(tmp_path, run, default_plan(run.config["preset"]["corpus"], 64))
    with pytest.raises(NotMeasurable, match="over training are not sampled yet"):
        embryo.compute(cells)
    cells.table(SUSCEPTIBILITIES)
    data = embryo.compute(cells)
    assert data.step.values.tolist() == [0, 60] and data.place.shape == (2, 2, 150, 2)
    assert np.isfinite(data.place.values).all()
    for name in ("share", "chance"):
        assert ((data[name] > 0) & (data[name] < 1)).all()
    # what a token looks like is told by its embedding alone, in the untrained model, too
    of_class = data.sel(labels="class")
    assert (of_class.low > of_class.chance).all()
    assert set(data.label.sel(labels="kind").values) <= {"induction", "bracket", "quote", "none"}
    titles = [axis.get_title() for axis in embryo.draw(data).axes]
    assert sum("by chance" in title for title in titles) == 8
