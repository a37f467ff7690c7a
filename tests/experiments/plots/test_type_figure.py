"""The picture of types says where its bars overlap, and only there."""

import numpy as np
import pytest
import xarray as xr

from experiments.plots import head_types

KINDS = ["induction", "bracket", "quote", "n-gram", "skip n-gram", "none"]


def table(shares: list[float]) -> xr.Dataset:
    heads = {"effect": 0.1, "effect_se": 0.01, "effect_degrees": 9.0}
    for score in head_types.MARKS:
        heads |= {score: 0.2, f"{score}_se": 0.01, f"{score}_degrees": 9.0}
    data: dict = {name: ("restriction", [value]) for name, value in heads.items()}
    data |= {"type": ("restriction", ["mixed"]), "affected": (("restriction", "kind"), [shares])}
    data |= {"usual": ("kind", np.full(6, 1 / 6)), "learned": (("restriction", "sort"), [[1, 2]])}
    data["multigrams"] = ("sort", [4, 4])
    return xr.Dataset(data, {"restriction": ["L0H0"], "kind": KINDS, "sort": ["n-gram", "skip n-gram"]})


@pytest.mark.parametrize(
    ("shares", "said"), [([0.6, 0.0, 0.0, 0.4, 0.17, 0.0], True), ([0.5, 0.0, 0.0, 0.3, 0.2, 0.0], False)]
)
def test_bars_that_pass_the_whole_say_so(shares: list[float], said: bool) -> None:
    axis = head_types.draw(table(shares), "made").axes[2]
    assert ("kinds overlap" in axis.get_xlabel()) == said
    assert axis.get_xlim()[1] == pytest.approx(117.0 if said else 100.0)


def test_bars_of_errors_reach_as_far_as_few_documents_ask() -> None:
    lines = head_types.draw(table([1.0, 0, 0, 0, 0, 0]), "made").axes[0].containers[0].lines[2][0]
    ((low, _), (high, _)) = lines.get_segments()[0]
    assert (high - low) / 2 == pytest.approx(2.262157 * 0.01, rel=1e-6)
