"""Claim 2: curves that follow types are found, those that cut across them contradict, and noise is nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial as with_arguments
from pathlib import Path

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.claims import differentiation
from experiments.figures import clustering, memorization
from experiments.statistics import clusters
from experiments.statistics.clusters import Scaling
from experiments.study import curve_clusters
from experiments.study.curve_clusters import Group
from experiments.study.verdict import Finding
from tests.experiments.claims.planted_heads import KINDS, NOWHERE, PlantedStudy, groups_of, of_kind, planted_study


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few starts of k-means."""
    monkeypatch.setattr(clusters, "k_means", with_arguments(clusters.k_means, restarts=6))

    yield


def differentiated(
    found: list[Group], scaling: Scaling = "raw", start: list[Group] | None = None, noise: list[Group] | None = None
) -> Finding:
    return differentiation.judge(scaling, found, noise or [], start or [], NOWHERE)


@pytest.mark.parametrize("scaling", ["raw", "standardised"])
def test_curves_that_follow_types_are_found_and_noise_is_not(scaling: Scaling) -> None:
    nothing = groups_of(6, lambda head: 0)
    planted = differentiated(groups_of(6, of_kind), scaling, noise=nothing)
    assert planted.verdict == "replicated"
    assert planted.value == pytest.approx(1.0) and planted.details["by seed"]["run 2"] == pytest.approx(1.0)
    assert planted.p is not None and planted.p < 0.001
    assert not planted.controls[0].fired
    assert planted.units == "36 heads in 6 layers of 3 seeds (run 0, run 1, run 2)"
    assert planted.details["adjusted Rand index"]["DTW"]["min-max"]["p"] < 0.01
    assert planted.noise and not planted.noise.met and planted.noise.exceeded
    absent = differentiated(nothing, scaling, noise=nothing)
    assert absent.verdict in ("inconclusive", "absent") and absent.noise and not absent.noise.exceeded


def test_many_seeds_of_noise_say_that_nothing_is_there() -> None:
    found = differentiated(groups_of(32, lambda head: 0))
    assert found.verdict == "absent" and found.interval is not None and found.interval[1] < 0.2


def test_level_alone_is_seen_in_raw_curves_only() -> None:
    level = [
        group._replace(curves=np.array([10.0 * of_kind(head) for head in range(6)])[:, None] + group.curves)
        for group in groups_of(6, lambda head: 0)
    ]
    assert differentiated(level).verdict == "replicated"
    shapes = differentiated(level, "standardised")
    assert shapes.verdict != "replicated" and shapes.p is not None and shapes.p > 0.01


def test_clusters_that_cut_across_types_contradict() -> None:
    """Heads of one kind are always apart."""
    apart = groups_of(16, lambda head: int(head > 1))
    across = [Group(g.run, g.layer, g.names[:4], KINDS[[1, 4, 1, 4]], g.curves[:4]) for g in apart]
    found = differentiated(across)
    assert found.verdict == "contradicted"
    assert found.interval is not None and found.interval[1] < 0


def test_seeds_weigh_alike_whatever_the_number_of_their_layers() -> None:
    found, noise = groups_of(4, of_kind), groups_of(4, lambda head: 0, seed=1)
    mixed = [found[0], found[1], noise[2]._replace(run="run 1")]
    test = curve_clusters.rand(mixed)
    by_seed = curve_clusters.by_seed(mixed, test)
    assert by_seed["run 0"] == pytest.approx(1.0) and by_seed["run 1"] < 0.9
    assert test.mean == test.value == pytest.approx(np.mean(list(by_seed.values())))


def test_a_control_that_fires_withdraws_the_verdict_and_single_heads_are_not_testable() -> None:
    planted = groups_of(6, of_kind)
    start = [group._replace(curves=group.curves[:, -1:]) for group in planted]
    assert differentiated(planted, start=start).verdict == "inconclusive"
    first = [group._replace(curves=group.curves[:, :1]) for group in planted]
    assert differentiated(planted, start=first).verdict == "replicated"
    single = [group._replace(types=np.array(["a", "b", "c", "d", "e", "multigram"])) for group in planted]
    one = differentiated([planted[0], *single[1:]])
    assert "fewer than two types with two heads in run 0 layer 1" in one.diagnosis
    with pytest.raises(NotMeasurable, match="fewer than two types with two heads"):
        differentiated(single)


@pytest.fixture
def study(tmp_path: Path) -> PlantedStudy:
    return planted_study(tmp_path)


def test_what_is_gathered_from_a_study(study: PlantedStudy) -> None:
    """The verdict is of the runs after the first, inactive heads are left out, ways not measured are said to be."""
    finders = {claim.label: finder for claim, finder in differentiation.FINDERS.items()}
    assert list(finders) == ["2a", "2b"]
    shape, level = finders["2a"](study), finders["2b"](study)
    for found in (shape, level):
        assert found.verdict == "replicated"
        assert found.units == "22 heads in 4 layers of 2 seeds (second x, third)"
        assert found.survives == {"recalibrated settings": "yes", "balanced gauge": "yes"}
        assert found.noise and found.value and found.noise.value < found.value
        json.dumps(found.record(), allow_nan=False)
    assert "untrained model (second x, third)" in level.controls[1].name and len(shape.controls) == 1


def test_figures_show_every_head_that_is_not_inactive(study: PlantedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = replace(study.cells[0], run=runs.open_run("mini-seed0"))
    of_curves = clustering.of_groups(curve_clusters.groups(study, cells), study.rllc(cells), cells.run)
    assert of_curves.sizes["restriction"] == 11 and of_curves.attrs["tested"] == "layer 0, layer 1"
    assert float(of_curves["index"].sel({"scaling": "raw", "method": "k-means"})) == pytest.approx(1.0)
    drawn = clustering.draw(of_curves)
    assert [len(axis.containers) for axis in drawn.axes] == [5, 6, 0]
    monkeypatch.setattr(memorization, "Study", lambda of: study)
    table = memorization.compute(cells)
    panels = memorization.draw(table).axes
    assert [len(axis.containers) for axis in panels[:3]] == [5, 6, 11]
    assert panels[0].get_title() == "layer 0, by the end (step 28000)"
    assert any("multigram heads" in text.get_text() for text in panels[1].texts)


def test_the_legend_of_all_kinds_fits_its_figure(study: PlantedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = replace(study.cells[0], run=runs.open_run("mini-seed0"))
    monkeypatch.setattr(memorization, "Study", lambda of: study)
    table = memorization.compute(cells)
    every = table.assign(type=("unit", np.resize(list(memorization.MARKERS), table.sizes["unit"])))

    def fits() -> bool:
        drawn = memorization.draw(every)
        drawn.draw_without_rendering()
        legend = drawn.legends[0].get_window_extent()
        return bool(legend.x0 >= 0 and legend.x1 <= drawn.bbox.width)

    assert fits()
    monkeypatch.setattr(memorization, "LEGEND_COLUMNS", 12)
    assert not fits(), "in one line they do not"
