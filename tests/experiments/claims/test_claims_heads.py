"""Claims about heads: planted truths are replicated, their opposites contradicted, and nothing is found in noise."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial as with_arguments
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.claims import differentiation, memorisation, other_measures, simplicity
from experiments.claims.differentiation import Group
from experiments.figures import clustering, memorization
from experiments.measurements.variants import MAIN, RANDOM
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.statistics import bootstrap, clusters, prediction
from experiments.statistics import partial as adjusted
from experiments.study.study import Study
from experiments.study.verdict import Finding
from llc.settings import QUICK

STEPS = np.array([0, 200, 800, 3600, 8400, 28000])
KINDS = np.array(["current-token", "multigram", "multigram", "multigram", "induction", "induction"])
NOWHERE = {"recalibrated settings": "not measured", "balanced gauge": "not measured"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few starts of k-means, few draws of the bootstrap and of permutations."""

    def few(*arguments, draws: int = 0, **named):
        return bootstrap.cluster_bootstrap(*arguments, draws=200, **named)

    monkeypatch.setattr(clusters, "k_means", with_arguments(clusters.k_means, restarts=6))
    monkeypatch.setattr(prediction, "cluster_bootstrap", few)
    monkeypatch.setattr(memorisation, "partial_spearman", with_arguments(adjusted.partial_spearman, draws=499))
    monkeypatch.setattr(simplicity, "adjusted_difference", with_arguments(adjusted.adjusted_difference, draws=499))
    yield


def groups_of(count: int, rule, noise: float = 0.1, seed: int = 0) -> list[Group]:
    """Groups whose curves follow rule(number of the head) with noise."""
    generator, found = np.random.default_rng(seed), []
    time = np.linspace(0, 1, len(STEPS))
    bases = np.stack([time, 3 * time**3, 1.5 * np.sin(3 * time)])
    for number in range(count):
        curves = np.stack([bases[rule(head)] for head in range(len(KINDS))])
        curves = curves + noise * generator.standard_normal(curves.shape)
        names = [f"L{number % 2}H{head}" for head in range(len(KINDS))]
        found.append(Group(f"run {number // 2}", number % 2, names, KINDS, curves))
    return found


def of_kind(head: int) -> int:
    return ["current-token", "multigram", "induction"].index(KINDS[head])


def differentiated(found: list[Group], untrained: list[Group] | None = None) -> Finding:
    return differentiation.judge(found, ["run 0", "run 1", "run 2"], untrained or [], NOWHERE)


def test_curves_that_follow_types_are_found_and_noise_is_not():
    planted = differentiated(groups_of(6, of_kind))
    assert planted.verdict == "replicated"
    assert planted.value == pytest.approx(1.0)
    assert planted.p is not None and planted.p < 0.001
    assert not planted.controls[0].fired
    assert planted.units == "36 heads in 6 layers of 3 seeds (run 0, run 1, run 2)"
    assert set(planted.details["adjusted Rand index"]) == {"pooled", "run 0", "run 1", "run 2"}
    assert planted.details["adjusted Rand index"]["pooled"]["DTW"]["min-max"]["p"] < 0.01
    assert differentiated(groups_of(6, lambda head: 0)).verdict == "inconclusive"


def test_both_scalings_must_find_the_types():
    """Types that differ in level alone: raw curves show them, standardised ones are noise."""
    level = [
        group._replace(curves=np.array([10.0 * of_kind(head) for head in range(6)])[:, None] + group.curves)
        for group in groups_of(6, lambda head: 0)
    ]
    found = differentiated(level)
    table = found.details["adjusted Rand index"]["pooled"]["k-means"]
    assert table["raw"]["p"] < 0.001 < 0.01 < table["standardised"]["p"] == found.p
    assert found.verdict == "inconclusive"


def test_clusters_that_cut_across_types_contradict():
    """Heads of one kind are always apart."""
    apart = groups_of(16, lambda head: int(head > 1))
    across = [Group(g.run, g.layer, g.names[:4], KINDS[[1, 4, 1, 4]], g.curves[:4]) for g in apart]
    found = differentiation.judge(across, [f"run {number}" for number in range(8)], [], NOWHERE)
    assert found.verdict == "contradicted"
    assert found.interval is not None and found.interval[1] < 0


def test_a_control_that_fires_withdraws_the_verdict_and_single_heads_are_not_testable():
    planted = groups_of(6, of_kind)
    start = [group._replace(curves=group.curves[:, -1:]) for group in planted]
    assert differentiated(planted, start).verdict == "inconclusive"
    assert differentiated(planted, [g._replace(curves=g.curves[:, :1]) for g in planted]).verdict == "replicated"
    single = [group._replace(types=np.array(["a", "b", "c", "d", "e", "multigram"])) for group in planted]
    assert differentiated(single).verdict == "not testable"


def heads(counts, rllc, types: np.ndarray | None = None, runs_: int = 3, norm: np.ndarray | None = None) -> xr.Dataset:
    """Two layers of six heads a run; rllc(count, layer) with noise; layers and runs differ in level."""
    generator, size = np.random.default_rng(1), runs_ * 12
    layer, run = np.tile(np.repeat([0, 1], 6), runs_), np.repeat(np.arange(runs_), 12)
    count = counts(generator, size)
    columns = {
        "run": np.array([f"run {number}" for number in run]),
        "layer": layer,
        "name": np.array([f"L{one}H{head}" for one, head in zip(layer, np.tile(np.arange(6), 2 * runs_), strict=True)]),
        "type": np.tile(np.repeat(["multigram"], 12) if types is None else types, runs_),
        "rllc": rllc(count, layer) + 3.0 * (1 - layer) + run + 0.1 * generator.standard_normal(size),
        "se": np.full(size, 0.05),
        "rarefied": count,
        "multigrams": count + 1,
        "n_grams": count,
        "effect": generator.random(size),
        "weight_norm": generator.random(size) if norm is None else norm,
    }
    return xr.Dataset({name: ("unit", values) for name, values in columns.items()})


def anything(generator: np.random.Generator, size: int) -> np.ndarray:
    return 50 + 30 * generator.random(size)


def remembered(found: xr.Dataset, untrained: xr.Dataset | None = None) -> Finding:
    return memorisation.judge(found, np.unique(found.run.values).tolist(), untrained, NOWHERE)


def test_memorisation_is_found_its_opposite_contradicted_and_noise_neither():
    grows = remembered(heads(anything, lambda count, layer: 0.05 * count))
    assert grows.verdict == "replicated" and grows.value is not None and grows.value > 0.8
    assert grows.units.startswith("36 multigram heads of 3 seeds")
    assert not grows.controls[0].fired
    assert set(grows.details["rho"]) == {"all seeds", "run 0", "run 1", "run 2", "layer 0", "layer 1"}
    assert remembered(heads(anything, lambda count, layer: -0.05 * count)).verdict == "contradicted"
    assert remembered(heads(anything, lambda count, layer: 0.0 * count)).verdict == "inconclusive"


def test_what_weight_norms_explain_is_not_memorisation():
    norm = np.random.default_rng(3).random(36)
    found = remembered(heads(lambda *_: 50 + 30 * norm, lambda count, layer: 0.05 * count, norm=norm))
    assert found.verdict == "inconclusive" and found.value is None
    assert "beyond the covariates" in found.diagnosis


def test_memorisation_needs_15_heads_and_an_untrained_model_without_it():
    few = remembered(heads(anything, lambda count, layer: 0.05 * count, runs_=1))
    assert few.verdict == "not testable" and few.value is not None
    assert "12 multigram heads, 15 are needed" in few.diagnosis
    planted = heads(anything, lambda count, layer: 0.05 * count)
    assert remembered(planted, planted).verdict == "inconclusive"
    unknown = planted.assign(rarefied=planted.rarefied.where(np.arange(36) >= 24))
    assert remembered(unknown).verdict == "not testable"


TYPES = np.array(["previous-token", "current-token", *["multigram"] * 4, "induction", "induction", *["multigram"] * 4])


def simple(found: xr.Dataset) -> Finding:
    return simplicity.judge(found, np.unique(found.run.values).tolist(), None, NOWHERE)


def shifted(by_layer: tuple[float, float], types: np.ndarray = TYPES) -> xr.Dataset:
    """Simple heads' rLLCs lie so far above the multigram heads' of layers 0 and 1."""
    kinds = np.tile(types != "multigram", 3)
    return heads(anything, lambda count, layer: np.where(kinds, np.array(by_layer)[layer], 0.0), types)


def test_simple_heads_are_found_lower_in_both_layers_or_not_at_all():
    both = simple(shifted((-1.0, -1.0)))
    assert both.verdict == "replicated"
    assert both.value == pytest.approx(-1.0, abs=0.2)
    assert both.interval is not None and both.interval[1] < 0
    assert not both.controls[0].fired
    assert simple(shifted((1.0, 1.0))).verdict == "contradicted"
    assert simple(shifted((0.0, 0.0))).verdict == "inconclusive"
    one_layer = simple(shifted((-1.0, 1.0)))
    assert one_layer.verdict == "contradicted"
    assert "induction" in one_layer.statistic and one_layer.value == pytest.approx(1.0, abs=0.2)


def test_contrasts_without_both_kinds_are_left_out():
    layer_0 = np.where(TYPES == "induction", "multigram", TYPES)
    found = simple(shifted((-1.0, 0.0), layer_0))
    assert found.verdict == "replicated"
    assert list(found.details["contrasts"]) == ["previous- and current-token against multigram, layer 0"]
    assert simple(shifted((0.0, 0.0), np.repeat(["multigram"], 12))).verdict == "not testable"


def measured(planted: tuple[str, ...], runs_: int = 3, seed: int = 0) -> xr.Dataset:
    """Two layers of six heads a run; planted measures follow the types, others are noise; seeds differ in level."""
    generator, names = np.random.default_rng(seed), other_measures.MEASURES
    groups = groups_of(2 * runs_, of_kind)
    curve = generator.standard_normal((len(names), 12 * runs_, len(STEPS)))
    for measure in planted:
        of_heads = np.concatenate([group.curves + 5 * number for number, group in enumerate(groups)])
        curve[names.index(measure)] = of_heads + 0.1 * generator.standard_normal(of_heads.shape)
    data = {
        "run": ("head", np.repeat([group.run for group in groups], 6)),
        "layer": ("head", np.repeat([group.layer for group in groups], 6)),
        "name": ("head", np.concatenate([group.names for group in groups])),
        "type": ("head", np.concatenate([group.types for group in groups])),
        "curve": (("measure", "head", "step"), curve),
    }
    return xr.Dataset(data, {"measure": list(names), "step": STEPS})


def test_the_measure_that_follows_types_wins():
    found = measured(("rLLC",))
    best = other_measures.judge(found, found, NOWHERE)
    assert best.verdict == "replicated"
    assert best.details["balanced accuracy"]["levels"]["accuracy"]["rLLC"] == pytest.approx(1.0)
    assert not any(control.fired for control in best.controls)
    worse = measured(("Hessian trace",))
    assert other_measures.judge(worse, worse, NOWHERE).verdict == "contradicted"


def test_no_measure_wins_where_two_do_equally_well_and_one_seed_is_not_testable():
    equal = measured(("rLLC", "Fisher trace"))
    found = other_measures.judge(equal, equal, NOWHERE)
    assert found.verdict == "inconclusive" and found.value == pytest.approx(0.0)
    one = measured(("rLLC",), runs_=1)
    assert other_measures.judge(one, one, NOWHERE).verdict == "not testable"


def test_scales_keep_what_they_say():
    found = measured(("rLLC",))
    levels = other_measures.on_scale(found, "rLLC", "levels")
    for start in range(0, 36, 6):
        assert levels[start : start + 6].mean() == pytest.approx(0, abs=1e-12)
        assert levels[start : start + 6].std() == pytest.approx(1)
    ranks = other_measures.on_scale(found, "rLLC", "ranks")
    assert np.allclose(np.sort(ranks[:6], axis=0).T, np.arange(1, 7) / 7 - 0.5)


@dataclass(frozen=True)
class PlantedCells(Cells):
    def table(self, kind: str) -> xr.Dataset:
        coords = {"step": STEPS, "restriction": NAMES, "method": ["zero", "mean"]}
        return xr.Dataset({"effect": (("step", "restriction", "method"), np.ones((6, 12, 2)))}, coords)


NAMES = [f"L{layer}H{head}" for layer in (0, 1) for head in range(6)]


@dataclass(frozen=True)
class PlantedStudy(Study):
    """Curves that follow the types in all ways but the random gauges, which were not measured."""

    def rllc(self, cells: Cells, way: str = MAIN) -> xr.Dataset:
        if way in RANDOM:
            raise NotMeasurable("not measured")
        curves = np.concatenate([group.curves for group in groups_of(2, of_kind, seed=len(cells.run.name))]).T
        layers = ("restriction", [int(name[1]) for name in NAMES])
        dims = ("step", "restriction")
        data = {"value": (dims, curves), "se": (dims, 0.1 + 0 * curves), "noise_value": (dims, 0 * curves)}
        data |= {
            "ess": (dims, 80 + 0 * curves),
            "chain_se": ((*dims, "chain"), 0.1 + 0 * np.stack([curves, curves], 2)),
        }
        coords = {"step": STEPS, "restriction": NAMES, "layer": layers}
        return xr.Dataset(data, coords, {"settings": QUICK.to_json()})

    def types(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        generator = np.random.default_rng(len(cells.run.name))
        learned = generator.integers(1, 99, (12, 2))
        data = {
            "type": ("restriction", np.where(np.array(NAMES) == "L0H3", "inactive", np.tile(KINDS, 2))),
            "effect": ("restriction", generator.random(12)),
            "rarefied": ("restriction", learned.sum(1).astype(float)),
            "learned": (("restriction", "sort"), learned),
        }
        return xr.Dataset(data, {"restriction": NAMES, "sort": ["n-gram", "skip n-gram"]})

    def curvature(self, cells: Cells) -> xr.Dataset:
        dims, noise = ("step", "restriction"), np.random.default_rng(0).random((2, 12))
        steps = STEPS[[0, -1]] if cells.run.name.endswith("x") else STEPS[[1, -1]]
        data = dict.fromkeys(("hessian", "fisher", "weight_norm"), (dims, noise))
        return xr.Dataset(data, {"step": steps, "restriction": NAMES})


@pytest.fixture
def study(tmp_path: Path) -> PlantedStudy:
    run = runs.open_run("mini-seed0")
    settings = plan.default_plan("python", 256)
    names = ("first", "second x", "third")
    return PlantedStudy(
        tuple(PlantedCells(tmp_path, replace(run, folder=run.folder.with_name(name)), settings) for name in names)
    )


def test_what_is_gathered_from_a_study(study: PlantedStudy):
    """The verdict is of the runs after the first, inactive heads are left out, ways not measured are said to be."""
    found = differentiation.find(study)
    assert found.verdict == "replicated"
    assert found.units == "22 heads in 4 layers of 2 seeds (second x, third)"
    assert found.survives == {"recalibrated settings": "yes", "balanced gauge": "yes"}
    assert "untrained model (first, second x, third)" in found.controls[1].name
    of_heads = memorisation.find(study)
    assert of_heads.units == "10 multigram heads of 2 seeds (second x, third), 15 in all seeds"
    assert of_heads.survives["random gauge 1"] == "not measured"
    of_contrasts = simplicity.find(study)
    assert of_contrasts.details["mean final rLLC"]["first"].keys() == simplicity.CONTRASTS.keys()
    for finding in (found, of_heads, of_contrasts):
        json.dumps(finding.record(), allow_nan=False)


def test_measures_are_compared_at_shared_checkpoints(study: PlantedStudy):
    found = other_measures.features(study, study.judged)
    assert found.step.values.tolist() == [28000]
    assert found.sizes["head"] == 22 and "L0H3" not in found.name.values
    finding = other_measures.find(study)
    assert finding.details["checkpoints"] == [28000]
    json.dumps(finding.record(), allow_nan=False)


def test_figures_show_every_head_that_is_not_inactive(study: PlantedStudy, monkeypatch: pytest.MonkeyPatch):
    cells = replace(study.cells[0], run=runs.open_run("mini-seed0"))
    of_curves = clustering.of_groups(differentiation.groups(study, cells), study.rllc(cells), cells.run)
    assert of_curves.sizes["restriction"] == 11 and of_curves.attrs["tested"] == "layer 0, layer 1"
    assert float(of_curves["index"].sel({"scaling": "raw", "method": "k-means"})) == pytest.approx(1.0)
    drawn = clustering.draw(of_curves)
    assert [len(axis.containers) for axis in drawn.axes] == [5, 6, 0]
    monkeypatch.setattr(memorization, "Study", lambda of: study)
    table = memorization.compute(cells)
    panels = memorization.draw(table).axes
    assert [len(axis.containers) for axis in panels[:3]] == [5, 6, 11]
    assert panels[0].get_title() == "layer 0, by the end (step 28000)"
