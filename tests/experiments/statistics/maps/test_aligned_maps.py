"""Maps over checkpoints: planted clusters stay together and in their place."""

import importlib.util

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments.statistics.maps import aligned_maps


@pytest.mark.slow
def test_clusters_part_and_stay_where_they_were() -> None:
    generator = np.random.default_rng(0)
    kinds, noise = np.repeat(np.arange(3), 60), generator.standard_normal((3, 180, 6))
    centres = generator.standard_normal((3, 6))
    vectors = [size * centres[kinds] + noise[number] for number, size in enumerate((0.0, 8.0, 8.0))]
    maps = aligned_maps.aligned(vectors, neighbours=15)
    again = aligned_maps.aligned(vectors, neighbours=15)
    assert all(np.array_equal(one, other) for one, other in zip(maps, again, strict=True))
    parted = []
    for places in maps:
        middle = np.stack([places[kinds == kind].mean(0) for kind in range(3)])
        near = np.linalg.norm(places[:, None] - middle, axis=-1).argmin(1)
        parted.append(float((near == kinds).mean()))
    assert parted[0] < 0.7 and min(parted[1:]) > 0.97  # the first is the control: there is nothing to part
    moved = np.linalg.norm(maps[2] - maps[1], axis=1).mean()
    assert moved < 0.5 * np.linalg.norm(maps[2][generator.permutation(180)] - maps[1], axis=1).mean()


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotMeasurable, match=r'needs umap-learn: pip install -c constraints.txt -e "\.\[map\]"'):
        aligned_maps.check_installed()
