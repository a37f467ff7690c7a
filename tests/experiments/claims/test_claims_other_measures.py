"""Claim 12: the measure whose curves follow the types wins, by seeds; noise and equals do not."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments.claims import other_measures
from experiments.statistics import bootstrap
from experiments.study import measure_curves, over_seeds
from experiments.study.measure_curves import MEASURES, NOISE, RLLC
from experiments.study.verdict import Finding
from tests.experiments.claims.planted_heads import NOWHERE, STEPS, groups_of, of_kind, planted_study


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few draws of the bootstrap."""

    def few(*arguments):
        return bootstrap.cluster_bootstrap(*arguments, draws=300)

    monkeypatch.setattr(other_measures, "cluster_bootstrap", few)
    yield


def measured(planted: tuple[str, ...], seeds: int = 8, noise: float = 0.1) -> xr.Dataset:
    """Two layers of six heads a run; planted measures follow the types, others are noise; seeds differ in level."""
    generator = np.random.default_rng(0)
    groups = groups_of(2 * seeds, of_kind)
    curve = generator.standard_normal((len(MEASURES), 12 * seeds, len(STEPS)))
    for measure in planted:
        of_heads = np.concatenate([group.curves + 5 * number for number, group in enumerate(groups)])
        curve[MEASURES.index(measure)] = of_heads + noise * generator.standard_normal(of_heads.shape)
    data = {
        "run": ("head", np.repeat([group.run for group in groups], 6)),
        "layer": ("head", np.repeat([group.layer for group in groups], 6)),
        "name": ("head", np.concatenate([group.names for group in groups])),
        "type": ("head", np.concatenate([group.types for group in groups])),
        "curve": (("measure", "head", "step"), curve),
    }
    return xr.Dataset(data, {"measure": list(MEASURES), "step": STEPS})


def against(measure: str, heads: xr.Dataset) -> Finding:
    return other_measures.judge(measure, heads, NOWHERE)


def test_the_measure_that_follows_types_wins() -> None:
    found = measured((RLLC,))
    best = against("Hessian trace", found)
    assert best.verdict == "replicated" and best.value is not None and best.value > 0.4
    assert best.p == 1 / 256 and best.details["p (Holm, of the five)"] == 5 / 256
    assert best.details["accuracy by seed"]["standardised"][RLLC]["run 3"] == pytest.approx(1.0)
    assert not any(control.fired for control in best.controls)
    assert best.noise is not None and not best.noise.met and best.noise.exceeded
    assert against(NOISE, found).noise is None
    worse = measured(("Hessian trace",))
    assert against("Hessian trace", worse).verdict == "contradicted"
    assert against("Fisher trace", worse).verdict in ("inconclusive", "absent")


def test_two_measures_that_do_equally_well_differ_by_nothing_of_interest() -> None:
    equal = measured((RLLC, "Fisher trace", NOISE))
    found = against("Fisher trace", equal)
    assert found.verdict == "absent" and found.value == pytest.approx(0.0, abs=0.05)
    assert found.noise is not None and not found.noise.exceeded


def test_few_seeds_decide_nothing() -> None:
    four = against("Hessian trace", measured((RLLC,), seeds=4))
    assert four.verdict == "inconclusive" and four.p == 1 / 16
    one = measured((RLLC,), seeds=1)
    with pytest.raises(other_measures.NotMeasurable, match="one seed: there is none to leave out"):
        against("Hessian trace", one)
    short = measured((RLLC,)).isel(step=slice(2))
    found = against("Hessian trace", short)
    assert found.verdict == "not testable" and found.diagnosis.startswith("2 shared checkpoints, 3 are needed")
    alone = measured((RLLC,)).assign(type=("head", np.tile(["a", "b", "c", "d", "e", "f"], 16)))
    assert "no layer has two types with two heads each" in against("Hessian trace", alone).diagnosis


def test_what_is_absent_needs_both_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    equal = measured((RLLC, "Fisher trace"), noise=0.6)
    monkeypatch.setattr(other_measures, "cluster_bootstrap", lambda *_: (-0.01, 0.01))
    found = against("Fisher trace", equal)
    student = found.details["interval of Student's t"]
    assert student[1] > 0.1 > 0.01 and found.interval == (-0.01, 0.01)
    assert found.verdict == "inconclusive"


def test_equal_seeds_contradict_nothing_where_they_are_few() -> None:
    """Two seeds with the same difference have an interval without width."""
    few = {f"run {number}": -0.125 for number in range(2)}
    controls = other_measures.Control("none", None, None, False)
    for by_seed, word in ((few, "inconclusive"), (dict.fromkeys("abcdefgh", -0.125), "contradicted")):
        test = other_measures.Better(by_seed, (-0.125, -0.125), 1.0, 1.0)
        claim = other_measures.CLAIMS["Fisher trace"]
        found = over_seeds.finding(claim, by_seed, statistic="s", interest=other_measures.INTEREST)
        assert other_measures._by_drawn_seeds(found, test, [controls]).verdict == word


def test_scales_keep_what_they_say() -> None:
    found = measured((RLLC,), seeds=3)
    levels = measure_curves.on_scale(found, RLLC, "levels")
    for start in range(0, 36, 6):
        assert levels[start : start + 6].mean() == pytest.approx(0, abs=1e-12)
        assert levels[start : start + 6].std() == pytest.approx(1)
    ranks = measure_curves.on_scale(found, RLLC, "ranks")
    assert np.allclose(np.sort(ranks[:6], axis=0).T, np.arange(1, 7) / 7 - 0.5)
    standardised = measure_curves.on_scale(found, RLLC, "standardised")
    assert np.allclose(standardised.mean(1), 0) and np.allclose(standardised.std(1), 1)


def test_measures_are_compared_at_shared_checkpoints(tmp_path: Path) -> None:
    study = planted_study(tmp_path)
    found = measure_curves.features(study, study.judged)
    assert found.step.values.tolist() == [200, 3600, 28000]
    assert found.sizes["head"] == 22 and "L0H3" not in found.name.values
    assert [claim.label for claim in other_measures.FINDERS] == ["12a", "12b", "12c", "12d", "12e"]
    for finder in list(other_measures.FINDERS.values())[::4]:
        finding = finder(study)
        assert finding.details["checkpoints"] == [200, 3600, 28000] and finding.verdict == "inconclusive"
        assert finding.survives == {"recalibrated settings": "no", "balanced gauge": "no"}
        json.dumps(finding.record(), allow_nan=False)
