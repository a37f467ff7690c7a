"""Claims 3 and 4 on planted relations of final rLLCs, their opposites and their absence."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.claims import memorisation, simplicity
from experiments.claims.memorisation import A, B, Part
from experiments.study import final_heads
from experiments.study.verdict import Finding
from tests.experiments.claims.planted_heads import NOWHERE, planted_study

SEEDS = 6
TYPES = np.array(["previous-token", "current-token", *["multigram"] * 4, "induction", "induction", *["multigram"] * 4])


def heads(rllc, labels: np.ndarray = TYPES, seeds: int = SEEDS, **columns: np.ndarray) -> xr.Dataset:
    """Two layers of six heads a run; rllc(count, layer) with noise; layers and runs differ in level."""
    generator, size = np.random.default_rng(1), seeds * 12
    layer, run = np.tile(np.repeat([0, 1], 6), seeds), np.repeat(np.arange(seeds), 12)
    count = columns.get("rarefied", 50 + 30 * generator.random(size))
    values = rllc(count, layer) + 3.0 * (1 - layer) + run + 0.1 * generator.standard_normal(size)
    data = {
        "run": np.array([f"run {number}" for number in run]),
        "layer": layer,
        "name": np.array([f"L{one}H{head}" for one, head in zip(layer, np.tile(np.arange(6), 2 * seeds), strict=True)]),
        "type": np.tile(labels, seeds),
        "labels": np.tile(labels, seeds),
        "rllc": 3.0 + values,
        "noise": 3.0 + generator.random(size),
        "se": np.full(size, 0.05),
        "rarefied": count,
        "multigrams": count + 1,
        "n_grams": count,
        "effect": generator.random(size),
        "weight_norm": generator.random(size),
    } | columns
    return xr.Dataset({name: ("unit", values) for name, values in data.items()})


ALL = np.repeat(["multigram"], 12)


@pytest.mark.parametrize("part", [A, B])
def test_memorisation_is_found_its_opposite_contradicted_and_noise_neither(part: Part) -> None:
    def remembered(slope: float, seeds: int = SEEDS) -> Finding:
        return memorisation.judge(part, heads(lambda count, layer: slope * count, ALL, seeds), None, NOWHERE)

    grows = remembered(0.05)
    assert grows.verdict == "replicated" and grows.value is not None and grows.value > 0.8 and grows.p == 1 / 64
    assert grows.units.startswith(f"72 {part.kind} of 6 seeds") and not grows.controls[0].fired
    assert grows.noise is not None and not grows.noise.met and grows.noise.exceeded
    assert set(grows.details["by layer"]) == {"layer 0", "layer 1"}
    assert remembered(-0.05).verdict == "contradicted"
    assert remembered(0.0).verdict in ("inconclusive", "absent")
    assert remembered(0.05, 4).verdict == "inconclusive"  # four seeds give no p below 1/16


def test_what_weight_norms_explain_is_not_memorisation_beyond_them() -> None:
    norm = np.random.default_rng(3).random(12 * SEEDS)
    shared = heads(lambda count, layer: 0.05 * count, ALL, rarefied=50 + 30 * norm, weight_norm=norm)
    shared = shared.assign(rarefied=shared.rarefied + np.random.default_rng(4).standard_normal(12 * SEEDS))
    plain, beyond = (memorisation.judge(part, shared, None, NOWHERE) for part in (A, B))
    assert plain.verdict == "replicated" and beyond.verdict != "replicated"
    assert beyond.details["without covariates"]["p"] == 1 / 64
    explained = heads(lambda count, layer: 0.05 * count, ALL, rarefied=50 + 30 * norm, weight_norm=norm)
    with pytest.raises(NotMeasurable):
        memorisation.judge(B, explained, None, NOWHERE)


def test_which_heads_each_part_takes() -> None:
    labels = np.array(["inactive", "previous-token, multigram", "mixed", *["multigram"] * 4, *["induction"] * 5])
    every = heads(lambda count, layer: 0.05 * count, labels)
    assert memorisation.chosen(every, A).sizes["unit"] == 5 * SEEDS
    assert memorisation.chosen(every, B).sizes["unit"] == 11 * SEEDS
    unknown = every.assign(rarefied=every.rarefied.where(np.arange(12 * SEEDS) >= 12))
    assert memorisation.chosen(unknown, B).sizes["unit"] == 11 * (SEEDS - 1)
    few = memorisation.judge(A, unknown, None, NOWHERE)
    assert "run 0" not in few.details["by seed"]


def test_memorisation_needs_its_heads_and_an_untrained_model_without_it() -> None:
    few = memorisation.judge(A, heads(lambda count, layer: 0.05 * count, ALL, 1), None, NOWHERE)
    assert few.verdict == "not testable" and few.value is not None
    assert few.diagnosis.startswith("12 multigram heads, 15 are needed")
    planted = heads(lambda count, layer: 0.05 * count, ALL)
    found = memorisation.judge(B, planted, planted, NOWHERE)
    assert found.verdict == "inconclusive" and found.controls[1].fired


def shifted(by: float, labels: np.ndarray = TYPES, seeds: int = SEEDS) -> xr.Dataset:
    """Induction heads' rLLCs lie so much higher, in logs, than the other heads' of their layer."""
    every = heads(lambda count, layer: 0.0 * count, labels, seeds)
    return every.assign(rllc=every.rllc * np.exp(np.where(every.labels.values == "induction", by, 0.0)))


def simple(every: xr.Dataset, first: xr.Dataset | None = None) -> Finding:
    return simplicity.judge(every, every, first, NOWHERE)


def test_induction_heads_are_found_lower_or_higher_or_neither() -> None:
    lower = simple(shifted(-0.5))
    assert lower.verdict == "replicated" and lower.value == pytest.approx(0.5, abs=0.1) and lower.p == 1 / 64
    assert lower.units.startswith("12 induction and 24 multigram heads of layer 1")
    assert not lower.controls[0].fired and lower.noise is not None and lower.noise.exceeded
    assert lower.details["given effect and weight norm"]["value"] == pytest.approx(0.5, abs=0.1)
    assert simple(shifted(0.5)).verdict == "contradicted"
    assert simple(shifted(0.0)).verdict in ("inconclusive", "absent")
    assert simple(shifted(-0.5), shifted(-0.5)).verdict == "inconclusive"


def test_simplicity_takes_layer_1_and_heads_of_one_kind() -> None:
    labels = TYPES.astype(object)
    labels[0], labels[11] = "induction", "multigram, induction"
    every = shifted(-0.5, labels.astype(str))
    heads_of = simplicity.compared(every)
    assert set(heads_of.layer.values.tolist()) == {1} and heads_of.sizes["unit"] == 5 * SEEDS
    negative = every.assign(rllc=xr.where(every.name == "L1H0", -1.0, every.rllc))
    found = simple(negative)
    assert "6 heads have no rLLC above 0 and are left out" in found.diagnosis


def test_simplicity_needs_six_heads_of_each_kind() -> None:
    few = simple(shifted(-0.5, seeds=2))
    assert few.verdict == "not testable" and "4 induction and 8 multigram heads of layer 1, 6 of each" in few.diagnosis
    none = np.where(TYPES == "induction", "multigram", TYPES)
    with pytest.raises(NotMeasurable, match="0 induction"):
        simple(shifted(0.0, none))


def test_what_is_gathered_from_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplicity, "middle_step", lambda run: 4800)
    study = planted_study(tmp_path)
    finders = {claim.label: finder for claim, finder in memorisation.FINDERS.items()}
    plain, relative = finders["3a"](study), finders["3b"](study)
    assert plain.units == "14 multigram heads of 2 seeds (second x, third)" and plain.verdict == "not testable"
    assert plain.survives["random gauge 1"] == "not measured" and "random gauge 1" not in relative.survives
    assert relative.units == "22 active heads of 2 seeds (second x, third)"
    (of_kinds,) = (finder(study) for finder in simplicity.FINDERS.values())
    assert of_kinds.units.startswith("4 induction and 8 multigram heads of layer 1, 2 seeds")
    assert "untrained" in of_kinds.controls[1].name
    middle = of_kinds.details["at mid-training (labels of the end)"]["by seed"]
    assert middle.keys() == of_kinds.details["by seed"].keys() and middle != of_kinds.details["by seed"]
    for finding in (plain, relative, of_kinds):
        json.dumps(finding.record(), allow_nan=False)


def test_heads_are_of_the_checkpoint_that_is_nearest(tmp_path: Path) -> None:
    study = planted_study(tmp_path)
    cells = study.cells[0]
    curves = study.rllc(cells).value
    for asked, place in ((None, -1), (0, 0), (700, 2), (9000, 4)):
        assert np.array_equal(final_heads.heads(study, cells, step=asked).rllc, curves.isel(step=place))
    assert np.array_equal(final_heads.heads(study, cells, step=0).effect, final_heads.heads(study, cells).effect)
