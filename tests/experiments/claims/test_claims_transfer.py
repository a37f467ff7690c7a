"""Claims 6a to 6c on planted curves: a fall after a peak, a rise, and a fall that is the loss's own; controls quiet."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.claims import transfer
from experiments.measurements.variants import BALANCED, MAIN, RECALIBRATED, RELATIVE
from experiments.study import layer_curves
from experiments.study.layer_curves import LayerCurves
from experiments.study.stage_two import second_stage
from experiments.study.study import Study

STEPS = np.array([0, 100, 400, 1600, 3200, 4800, 6400, 8000])
NAMES = [f"L{layer}H{head}" for layer in (0, 1) for head in range(4)]
LABELS = [
    "previous-token, multigram",
    "multigram",
    "current-token",
    "inactive",
    "multigram",
    "induction",
    "quote",
    "mixed",
]
RUNS = [f"seed{number}" for number in range(5)]
PEAKED, LEVEL, RISING = [1, 2, 3, 6, 5, 4, 3.5, 3], [1, 2, 4, 4, 4, 4, 4, 4], [1, 1, 1.5, 2, 2.5, 3, 3.5, 4]
FALLING = [1, 1, 2, 4, 3.5, 3, 2.5, 2]
SETTLED, UNSETTLED = [2.4, 2.4, 2.39], [2.6, 2.5, 2.4]


@dataclass(frozen=True)
class PlantedStudy(Study):
    """Five judged seeds with these means of the layers, against the one-layer model and by the next-token loss."""

    relative: tuple[list, list] = (PEAKED, RISING)
    training: tuple[list, list] = (LEVEL, LEVEL)
    noise: tuple[list, list] = (LEVEL, LEVEL)  # against the one-layer model
    gone_in: tuple[str, ...] = ()  # ways in which both layers stay level
    missing: tuple[str, ...] = ()
    losses: list[float] = field(default_factory=lambda: SETTLED)
    runs: int = len(RUNS)
    layers: int = 2

    @property
    def judged(self) -> Any:
        score = (("step", "restriction"), np.outer(np.clip(np.arange(8) - 1, 0, 3) / 3, np.ones(8)))
        coords = {"step": STEPS, "restriction": NAMES, "layer": ("restriction", [0] * 4 + [1] * 4)}
        scores = xr.Dataset({"previous_token": score, "loss": ("step", [3.0] * 5 + self.losses)}, coords)
        config = {"model": {"n_layers": self.layers}}
        return tuple(
            SimpleNamespace(run=SimpleNamespace(name=run, config=config), table=lambda kind: scores)
            for run in RUNS[: self.runs]
        )

    def types(self, cells: Any, step: int | None = None) -> xr.Dataset:
        return xr.Dataset({"labels": ("restriction", LABELS)}, {"restriction": NAMES})

    def rllc(self, cells: Any, way: str = MAIN) -> xr.Dataset:
        if way in self.missing:
            raise NotMeasurable(f"{way} is not sampled")
        own = (LEVEL, LEVEL) if any(name in way for name in self.gone_in) else self.relative
        layers = {"value": own if RELATIVE in way else self.training, "noise_value": self.noise}
        generator = np.random.default_rng([RUNS.index(cells.run.name), len(way), 5])
        data = {}
        for quantity, (first, second) in layers.items():
            value = np.stack([first] * 4 + [second] * 4, 1) * (1 + 0.01 * generator.standard_normal((8, 8)))
            value[:, [0, 3]] = 50.0 + 10 * np.arange(8)[:, None]  # heads that are left out
            data[quantity] = (("step", "restriction"), value)
        every = slice(None) if cells.run.name == "seed0" else slice(1, None)  # only one has step 0
        return xr.Dataset(data, {"step": STEPS, "restriction": NAMES}).isel(step=every)


def study(**planted: Any) -> PlantedStudy:
    return PlantedStudy((), **planted)


FALL, RISE, BEYOND = transfer.find_fall, transfer.find_rise, transfer.find_beyond


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        ({}, ("replicated", "replicated", "replicated")),
        ({"relative": (LEVEL, LEVEL)}, ("absent", "absent", "absent")),
        ({"relative": (PEAKED, FALLING)}, ("replicated", "contradicted", "replicated")),
        ({"training": (PEAKED, LEVEL)}, ("replicated", "replicated", "absent")),  # a fall of both losses
        ({"relative": (RISING, RISING), "training": (RISING, RISING)}, ("absent", "absent", "absent")),  # no peak
        ({"relative": (LEVEL, RISING), "training": (PEAKED, RISING)}, ("absent", "replicated", "contradicted")),
    ],
)
def test_each_part_is_found_where_it_is_planted(planted: dict, words: tuple[str, ...]) -> None:
    for find, word in zip((FALL, RISE, BEYOND), words, strict=True):
        found = find(study(**planted))
        assert found.verdict == word, found.claim.label
        assert not found.controls[0].fired


def test_changes_are_those_that_were_planted_of_the_heads_that_count() -> None:
    fall = FALL(study())
    assert fall.value == pytest.approx(0.5, abs=0.02) and fall.p == 1 / 32
    assert fall.details["heads"]["seed1"] == (["L0H1", "L0H2"], ["L1H0", "L1H1", "L1H2", "L1H3"])
    assert set(fall.details["reference step"].values()) == {1600} and fall.details["steps"].tolist()[0] == 100
    assert fall.units.endswith("10 heads of layer 0 and 20 of layer 1")
    assert RISE(study()).value == pytest.approx(1.0, abs=0.03)
    assert BEYOND(study()).value == pytest.approx(np.log(2), abs=0.03)
    assert "seed0 from step 1,600: layer 0 5.9" in fall.diagnosis


def test_a_fall_is_held_against_noise_and_other_ways() -> None:
    found = FALL(study(gone_in=(BALANCED,)))
    assert found.noise is not None and found.noise.exceeded and not found.noise.met
    assert found.survives == {"recalibrated settings": "yes", "balanced gauge": "no"}
    of_noise = FALL(study(noise=([1, 2, 3, 6, 4, 3, 2, 1], LEVEL))).noise
    assert of_noise is not None and of_noise.met and not of_noise.exceeded
    unsampled = FALL(study(missing=(f"{RELATIVE}, {RECALIBRATED}",)))
    assert unsampled.survives == {"recalibrated settings": "not measured", "balanced gauge": "yes"}


def test_a_fall_below_0_is_a_fall_without_a_logarithm() -> None:
    below = study(relative=([1, 2, 3, 6, 5, 3, 1, -3], RISING))
    fall = FALL(below)
    assert fall.verdict == "replicated" and fall.value == pytest.approx(1.5, abs=0.03)
    with pytest.raises(NotMeasurable, match="there is no ratio"):
        BEYOND(below)
    of_noise = FALL(study(noise=(list(-np.array(PEAKED)), LEVEL)))
    assert of_noise.verdict == "replicated" and of_noise.noise is None


def test_late_training_is_asked_for_by_the_rise_alone() -> None:
    words = [find(study(losses=UNSETTLED)).verdict for find in (FALL, RISE, BEYOND)]
    assert words == ["replicated", "not testable", "replicated"]


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        ({"missing": (RELATIVE,)}, "one-layer is not sampled"),
        ({"runs": 1}, "seed0 is the only run"),
        ({"layers": 1}, "run seed0 has one layer"),
        ({"relative": (list(-np.array(PEAKED)), RISING)}, "mean rLLC is not above 0"),
    ],
)
def test_what_cannot_be_measured_says_why(planted: dict, why: str) -> None:
    with pytest.raises(NotMeasurable, match=why):
        FALL(study(**planted))


def test_the_reference_step_is_the_others_peak_after_their_second_stage() -> None:
    steps, flat = np.array([100, 200, 400, 800]), np.ones(4)
    means = {
        "one": np.stack([np.array([1.0, 9.0, 1.0, 1.0]), flat]),  # its own peak has no part in it
        "two": np.stack([np.array([8.0, 1.0, 2.0, 3.0]), flat]),  # the first is before its second stage
        "three": np.stack([np.array([1.0, 1.0, 5.0, 1.0]), flat]),
    }
    curves = LayerCurves(steps, means, {"one": 100, "two": 200, "three": 100})
    assert [int(steps[curves.reference(run)]) for run in means] == [400, 200, 200]


def test_shuffling_leaves_early_checkpoints_and_what_layers_share() -> None:
    means = {"one": np.stack([np.arange(6.0), 10 * np.arange(6.0)])}
    moved = LayerCurves(np.arange(6), means, {"one": 2}).shuffled(2).means["one"]
    assert moved[0, :2].tolist() == [0, 1] and sorted(moved[0].tolist()) == list(range(6))
    assert moved[0].tolist() != means["one"][0].tolist() and (moved[1] == 10 * moved[0]).all()


def test_runs_that_end_elsewhere_share_no_curves() -> None:
    tables = [xr.Dataset(coords={"step": steps}) for steps in ([0, 10, 20], [10, 20], [10, 30])]
    assert layer_curves.shared_steps(tables[:2]).tolist() == [10, 20]
    with pytest.raises(NotMeasurable, match="do not end at the same checkpoint"):
        layer_curves.shared_steps(tables)


def test_the_second_stage_begins_with_a_tenth_of_the_previous_token_rise() -> None:
    scores = np.array([[0.02, 0.9], [0.05, 0.9], [0.06, 0.9], [0.40, 0.9]])
    table = xr.Dataset(
        {"previous_token": (("step", "restriction"), scores)},
        {"step": [0, 10, 20, 30], "restriction": ["L0H0", "L1H0"], "layer": ("restriction", [0, 1])},
    )
    assert second_stage(table) == 20
