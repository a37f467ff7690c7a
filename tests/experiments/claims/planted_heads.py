"""A study whose heads have planted curves, types and numbers of multigrams, as tests of claims about heads ask for."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.measurements.variants import MAIN, RANDOM
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.study.curve_clusters import Group
from experiments.study.study import Study

STEPS = np.array([0, 200, 800, 3600, 8400, 28000])
KINDS = np.array(["current-token", "multigram", "multigram", "multigram", "induction", "induction"])
NOWHERE = {"recalibrated settings": "not measured", "balanced gauge": "not measured"}
NAMES = [f"L{layer}H{head}" for layer in (0, 1) for head in range(6)]


def of_kind(head: int) -> int:
    """The number of a head's kind."""
    return ["current-token", "multigram", "induction"].index(KINDS[head])


def groups_of(count: int, rule, noise: float = 0.1, seed: int = 0) -> list[Group]:
    """Groups, two layers a run, whose curves follow rule(number of the head) with noise."""
    generator, found = np.random.default_rng(seed), []
    time = np.linspace(0, 1, len(STEPS))
    bases = np.stack([time, 3 * time**3, 1.5 * np.sin(3 * time)])
    for number in range(count):
        curves = np.stack([bases[rule(head)] for head in range(len(KINDS))])
        curves = curves + noise * generator.standard_normal(curves.shape)
        names = [f"L{number % 2}H{head}" for head in range(len(KINDS))]
        found.append(Group(f"run {number // 2}", number % 2, names, KINDS, curves))
    return found


@dataclass(frozen=True)
class PlantedCells(Cells):
    """Effects of removing heads that are all alike."""

    def table(self, kind: object) -> xr.Dataset:
        coords = {"step": STEPS, "restriction": NAMES, "method": ["zero", "mean"]}
        return xr.Dataset({"effect": (("step", "restriction", "method"), np.ones((6, 12, 2)))}, coords)


@dataclass(frozen=True)
class PlantedStudy(Study):
    """Curves that follow the types in all ways but the random gauges, which were not measured; noise is noise."""

    def rllc(self, cells: Cells, way: str = MAIN) -> xr.Dataset:
        if way in RANDOM:
            raise NotMeasurable("not measured")
        number = len(cells.run.name)
        curves = 0.5 + np.concatenate([group.curves for group in groups_of(2, of_kind, seed=number)]).T
        layers = ("restriction", [int(name[1]) for name in NAMES])
        dims, noise = ("step", "restriction"), 1 + np.random.default_rng(number).random(curves.shape)
        data = {"value": (dims, curves), "se": (dims, 0.1 + 0 * curves), "noise_value": (dims, noise)}
        data["half_width"] = (dims, 0.2 + 0 * curves)
        coords = {"step": STEPS, "restriction": NAMES, "layer": layers}
        return xr.Dataset(data, coords)

    def types(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        generator = np.random.default_rng(len(cells.run.name))
        learned = generator.integers(1, 99, (12, 2))
        types = np.where(np.array(NAMES) == "L0H3", "inactive", np.tile(KINDS, 2))
        data = {
            "type": ("restriction", types),
            "labels": ("restriction", np.where(types == "current-token", "current-token, multigram", types)),
            "effect": ("restriction", generator.random(12)),
            "rarefied": ("restriction", learned.sum(1).astype(float)),
            "learned": (("restriction", "sort"), learned),
        }
        return xr.Dataset(data, {"restriction": NAMES, "sort": ["n-gram", "skip n-gram"]})

    def curvature(self, cells: Cells) -> xr.Dataset:
        steps = STEPS[[0, 1, 3, -1]] if cells.run.name.endswith("x") else STEPS[1:]
        noise = np.random.default_rng(0).random((len(steps), 12))
        data = dict.fromkeys(("hessian", "fisher", "weight_norm"), (("step", "restriction"), noise))
        return xr.Dataset(data, {"step": steps, "restriction": NAMES})


def planted_study(folder: Path) -> PlantedStudy:
    """Three runs, of which the first is not judged."""
    run, settings = runs.open_run("mini-seed0"), plan.default_plan("python", 256)
    names = ("first", "second x", "third")
    return PlantedStudy(
        tuple(PlantedCells(folder, replace(run, folder=run.folder.with_name(name)), settings) for name in names)
    )
