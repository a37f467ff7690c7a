"""Which runs are trained far enough: planted losses that still fall, and such as do not."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from experiments.study import settled
from experiments.study.study import Study

STEPS = [0, 1000, 2000, 4000, 5000, 6000, 8000]


@dataclass(frozen=True)
class PlantedStudy(Study):
    """Runs with these held-out losses; the first is not judged where there are three."""

    losses: tuple[xr.Dataset, ...]

    @property
    def judged(self) -> Any:
        cells = [
            SimpleNamespace(run=SimpleNamespace(name=f"seed{number}"), table=lambda kind, own=own: own)
            for number, own in enumerate(self.losses)
        ]
        return cells[1:] if len(cells) > 2 else cells


def losses(per_doubling: float, steps: list[int] | None = None, early: float = 1.0) -> xr.Dataset:
    """A loss that falls by this much per doubling from half of the last step on, and by `early` before."""
    steps = STEPS if steps is None else steps
    doublings = np.log2(np.maximum(steps, 1) / (steps[-1] / 2))
    falls = np.where(doublings > 0, per_doubling, early) * doublings
    return xr.Dataset({"loss": ("step", 3.0 - falls)}, {"step": steps})


def found(*tables: xr.Dataset) -> list[str]:
    return settled.untestable(PlantedStudy((), tables))


def test_a_loss_that_still_falls_is_told_with_its_figure() -> None:
    (why,) = found(losses(0.08))
    assert "seed0" in why and "0.080 nats per doubling" in why and "4,000 to 8,000" in why


@pytest.mark.parametrize("per_doubling", [0.04, 0.0, -0.2])
def test_a_loss_that_falls_slowly_or_rises_is_settled_whatever_it_did_before(per_doubling: float) -> None:
    assert found(losses(per_doubling, early=1.0)) == []
    assert found(losses(per_doubling, early=0.0)) == []


def test_each_judged_run_is_asked_by_itself() -> None:
    assert [why.split()[4] for why in found(losses(0.2), losses(0.01), losses(0.06))] == ["seed2"]


def test_the_slope_is_of_all_late_checkpoints_and_of_the_last_two_where_they_are_sparse() -> None:
    assert settled.fall_per_doubling(losses(0.07)) == pytest.approx(0.07)
    noisy = losses(0.07)
    noisy.loss.values[:3] += 5.0
    assert settled.fall_per_doubling(noisy) == pytest.approx(0.07)
    sparse = losses(0.07, [0, 100, 1000, 8000], early=0.3)
    assert settled.late_steps(sparse) == [1000, 8000]
    assert settled.fall_per_doubling(sparse) == pytest.approx((0.07 + 2 * 0.3) / 3)


def test_a_run_of_one_trained_checkpoint_cannot_tell() -> None:
    (why,) = found(losses(0.0, [0, 8000]))
    assert "no two trained checkpoints" in why
