"""Checkpoints are chosen where what is drawn changes, and not at even spacings."""

import numpy as np
import pytest
import xarray as xr

from circuits import formation


def jumps(at: dict[int, float], steps: int = 20) -> np.ndarray:
    """Three paths, the second of which jumps by so much when it arrives at these checkpoints."""
    level = np.zeros((steps, 3))
    for place, size in at.items():
        level[place:, 1] += size
    return level


def test_panels_stand_where_the_largest_jumps_arrive() -> None:
    assert formation.telling(jumps({8: 3.0, 14: -2.0}), 6) == [0, 8, 19]  # the last is as after the second jump
    assert formation.telling(jumps({3: 3.0, 8: 1.0, 14: 2.0, 17: 0.5}), 5) == [0, 3, 8, 14, 19]
    assert formation.telling(jumps({3: 3.0, 8: 0.1, 14: 2.0, 17: 0.5}), 4) == [0, 3, 14, 19]
    assert formation.telling(jumps({3: 0.1, 8: 3.0, 14: 2.0, 17: 0.5}), 4) == [0, 8, 14, 19]  # control: other sizes
    evenly = [round(19 * place / 5) for place in range(6)]
    assert not {3, 14, 17} & set(evenly), "control: even spacings miss them"


def test_what_comes_and_goes_is_shown() -> None:
    passing = jumps({}) + np.eye(20, 3, k=-11) * 2.0  # one path at checkpoint 11 alone, another at 12, a third at 13
    assert formation.telling(passing, 4) == [0, 11, 12, 19]


def test_a_steady_rise_is_halved() -> None:
    rise = np.arange(17.0)[:, None]
    assert formation.telling(rise, 5) == [0, 4, 8, 12, 16]
    assert formation.telling(rise**2, 3) == [0, 11, 16], "by what is drawn, not by the checkpoint's number"


def test_what_does_not_change_adds_no_panel() -> None:
    assert formation.telling(jumps({}), 6) == [0, 19]
    assert formation.telling(jumps({}, steps=1), 6) == [0]
    with pytest.raises(ValueError, match="1 checkpoints: the first and the last are always among them"):
        formation.telling(jumps({}), 1)


def test_what_was_not_found_is_not_drawn() -> None:
    found = [[False, True], [True, True], [False, True]]
    effect = [[5.0, -1.0], [5.0, -1.0], [3.0, -1.0]]
    table = xr.Dataset({"effect": (("step", "path"), effect), "found": (("step", "path"), found)})
    assert formation.drawn_effects(table).tolist() == [[0.0, -1.0], [5.0, -1.0], [0.0, -1.0]]
    assert formation.telling(formation.drawn_effects(table), 6) == [0, 1, 2]
    assert formation.telling(formation.drawn_effects(table.assign(found=table.found & False)), 6) == [0, 2]  # control
