"""Coefficients of a run's heads from independent draws: as the chains' in the mean, and which of both a claim reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.measurements import draws, variants
from experiments.measurements.draws import DRAWS, PAIRS
from experiments.measurements.rllc import RLLC
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.study.study import Study
from llc import cumulant_expansion, independent_draws
from llc.settings import QUICK


@pytest.fixture
def cells(trained: Path, tmp_path: Path) -> Cells:
    """A tiny run at its last two checkpoints, with the papers' settings on few rows."""
    run = runs.open_run(trained / "runs/tiny-seed0")
    chosen = plan.default_plan(run.config["preset"]["corpus"], 64)
    return Cells(tmp_path / "results", run, replace(chosen, sampled_rows=64, llc_checkpoints=1))


def test_cells_hold_what_the_library_says(cells: Cells) -> None:
    drawn = cells.table(DRAWS).isel(step=-1)
    assert drawn.layer.values.tolist() == [0] * 4 + [1] * 4
    model, tokens = cells.run.bare_model(60), cells.inputs.sampled
    own = independent_draws(model, tokens, ["L1H2", "L1H3"], settings=QUICK, seed=0, draws=PAIRS)
    for name in ("value", "se", "noise_value", "tilt"):
        assert float(drawn[name].sel(restriction="L1H2")) == pytest.approx(float(own["L1H2"][name]))
        assert float(drawn[name].sel(restriction="L1H2")) != pytest.approx(float(own["L1H3"][name]))


def test_draws_say_what_chains_say(cells: Cells) -> None:
    drawn, chains = cells.table(DRAWS).isel(step=-1), cells.table(RLLC).isel(step=-1)
    errors = np.hypot(drawn.se.values, chains.se.values)
    apart = np.abs(drawn.value.values - chains.value.values) / errors
    assert np.median(apart) < 2 and apart.max() < 6
    twice = np.abs(2 * drawn.value.values - chains.value.values) / errors
    assert np.median(twice) > 2 * np.median(apart), "a factor of two is told"


def test_heads_that_draws_refuse_are_sampled_by_chains(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = cells.get(DRAWS, 60, restriction="L0H1")
    monkeypatch.setattr(cumulant_expansion, "LARGEST", -1.0)  # refuses all
    chains = replace(cells, folder=cells.folder / "refused").get(DRAWS, 60, restriction="L0H1")
    assert not usual.by_chains and chains.by_chains
    assert float(chains.noise_value) == float(usual.noise_value)
    own = cells.planned(sampler="leimkuhler-matthews").get(RLLC, 60, restriction="L0H1")
    assert float(chains.value) == float(own.value) != float(usual.value)
    assert abs(float(chains.value - usual.value)) < 4 * np.hypot(float(chains.se), float(usual.se))


def test_gauge_text_and_reference_have_cells_of_their_own(cells: Cells) -> None:
    asked = variants.drawn_ways(cells.plan)
    assert set(asked) == {"training", "code", "one-layer", "balanced", "code, balanced", "one-layer, balanced"}
    assert all(one.llc == QUICK and one.llc_checkpoints == variants.EVERY for one in asked.values())
    balanced = cells.planned(gauge="balanced").get(DRAWS, 60, restriction="L1H0")
    trained = cells.get(DRAWS, 60, restriction="L1H0")
    relative = cells.planned(reference="last").get(DRAWS, 60, restriction="L1H0")
    assert len({float(one.value) for one in (balanced, trained, relative)}) == 3
    assert trained.attrs["restriction"] == "L1H0" and "bound" not in trained.dims


def test_a_claim_reads_draws_unless_only_chains_are_there(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "PAIRS", 8)
    cells = cells.planned(llc=replace(QUICK, name="SHORT", num_draws=12, num_burnin=4))
    study = Study((cells,))
    with pytest.raises(NotMeasurable, match="not sampled yet: use the verb sweep"):
        study.rllc(cells)
    chains = variants.in_way(cells, variants.MAIN)
    for job in chains.missing_tables([RLLC]):
        job.function(*job.arguments)
    assert variants.of_way(cells, variants.MAIN).kind is RLLC
    assert study.rllc(cells).value.equals(chains.table(RLLC).value)
    drawn = variants.Sampled(replace(cells, plan=variants.drawn_ways(cells.plan)[variants.MAIN]), DRAWS)
    for job in drawn.missing():
        job.function(*job.arguments)
    assert variants.of_way(cells, variants.MAIN).kind is DRAWS
    assert {"value", "se", "noise_value"} <= set(study.rllc(cells).data_vars)
    shown = variants.coefficients(cells, variants.MAIN)
    assert (shown.half_width > 1.9 * shown.se).all() and (shown.half_width < 3 * shown.se).all()
    assert variants.of_way(cells, variants.RECALIBRATED).kind is RLLC, "other settings are sampled by chains"
