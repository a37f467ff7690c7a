"""Whether the early snapshot lies before the fall of layer 0's coefficients."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.measurements.variants import RELATIVE, middle_step
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.study import layer_fall
from experiments.study.study import Study

STEPS = np.array([0, 100, 1000, 10_000, 100_000])


@pytest.mark.parametrize(
    ("mean", "early", "share"),
    [
        ([9.0, 1.0, 3.0, 2.0, 1.0], 10_000, 0.5),  # the untrained model's value is no peak: the caller leaves it out
        ([9.0, 1.0, 3.0, 2.0, 1.0], 1000, 0.0),
        ([9.0, 1.0, 2.0, 3.0, 1.0], 1000, 0.0),  # the peak comes later
        ([9.0, 1.0, 2.0, 3.0, 4.0], 1000, 0.0),  # no fall
        ([9.0, 1.0, 3.0, 1.0, 1.0], 10**3.5, 0.5),  # straight in log step
    ],
)
def test_the_share_of_the_fall_that_is_over(mean: list[float], early: int, share: float) -> None:
    assert layer_fall.share_lost(STEPS[1:], np.array(mean[1:]), early) == pytest.approx(share)


class Sampled(Study):
    """Two active heads of layer 0 whose coefficients fall from a peak, an inactive one, and layer 1."""

    def types(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        names = ["L0H0", "L0H1", "L0H2", "L1H0"]
        labels = ["multigram", "previous-token, multigram", "inactive", "induction"]
        return xr.Dataset({"labels": ("restriction", labels)}, {"restriction": names})

    def rllc(self, cells: Cells, way: str = "training") -> xr.Dataset:
        assert way == RELATIVE
        if cells.plan.seed:
            raise NotMeasurable("not sampled yet")
        early = middle_step(cells.run)
        steps = np.array([0, early // 10, early, cells.run.steps[-1]])
        values = np.array([[50.0, 3.0, late, 1.0] for late in (2.9, 2.1, 90.0, 90.0)]).T
        names = ["L1H0", "L0H2", "L0H1", "L0H0"][::-1]
        return xr.Dataset({"value": (("step", "restriction"), values)}, {"step": steps, "restriction": names})


def test_a_run_whose_fall_has_begun_is_named(tmp_path: Path) -> None:
    run = runs.open_run("mini-seed1")
    cells = Cells(tmp_path, run, default_plan("python", 256))
    study = Sampled((cells,))
    why = layer_fall.too_late(study, cells)
    assert "step 4,800) of mini-seed1" in why and "25% of their fall" in why
    steps, mean = layer_fall.layer_mean(study, cells)
    assert steps.tolist() == [480, 4800, 28000] and mean.tolist() == [3.0, 2.5, 1.0]
    with pytest.raises(NotMeasurable, match="not sampled yet"):
        layer_fall.too_late(study, cells.planned(seed=1))
