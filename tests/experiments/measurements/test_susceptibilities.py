"""Susceptibilities of a run's heads: their halves, their errors, and what their cells depend on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments import runs
from experiments.measurements import susceptibilities
from experiments.measurements.susceptibilities import SUSCEPTIBILITIES, settings_of
from experiments.results.cells import Cells
from experiments.results.keys import key
from experiments.results.plan import default_plan
from llc import QUICK, Probes
from llc.noise_susceptibility import noise_susceptibilities

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def cells(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    run = runs.open_run(trained / "runs/tiny-seed0")
    return Cells(tmp_path_factory.mktemp("susceptibilities"), run, default_plan(run.config["preset"]["corpus"], 64))


def test_the_whole_lies_between_its_halves_and_its_error_is_theirs(cells: Cells) -> None:
    found = cells.get(SUSCEPTIBILITIES, cells.run.steps[-1], restriction="L1H2")
    assert found["value"].shape == (130, 63)  # 8,160 tokens in rows of 64
    for name, close in (("value", 0.2), ("noise", 1e-6)):
        halves = found["half" if name == "value" else "noise_half"]
        away = abs(halves.mean("part") - found[name])
        spread = abs(halves.diff("part")).median()
        assert float(away.median()) <= close * float(spread)
        known = found["half_width" if name == "value" else "noise_half_width"]
        # halves differ by twice the whole's error: their normal scores, through the quantile of t
        z = halves.diff("part").squeeze("part") / (2 * known / stats.t.ppf(0.975, 7 if name == "value" else 15))
        assert 0.6 < float(np.sqrt((z**2).mean())) < 1.3, name
    ranks = [stats.spearmanr(*(half.values.ravel() for half in found["noise_half"])).statistic]
    other = cells.get(SUSCEPTIBILITIES, cells.run.steps[-1], restriction="L1H0")
    ranks.append(
        stats.spearmanr(found["noise_half"][0].values.ravel(), other["noise_half"][1].values.ravel()).statistic
    )
    assert ranks[0] > 0.5 and ranks[0] > ranks[1] + 0.1  # the control: another head's half


def test_noise_is_that_of_the_derivatives(cells: Cells) -> None:
    found = cells.get(SUSCEPTIBILITIES, cells.run.steps[-1], restriction="L1H2")
    model = cells.inputs.model(cells.run.steps[-1])
    text = susceptibilities.probe_rows(cells.inputs).batch(slice(None))
    own = noise_susceptibilities(model, "L1H2", Probes(text), settings=QUICK, seed=0, draws=16)["L1H2"]
    assert np.allclose(found["noise_half"][0], own.value, rtol=1e-5, atol=1e-12)


def test_a_head_alone_has_the_values_it_has_among_others(cells: Cells, tmp_path: Path) -> None:
    step, alone = cells.run.steps[-1], replace(cells, folder=tmp_path)
    cells.measure(SUSCEPTIBILITIES, step, {"restrictions": ["L1H0", "L1H2"]})
    for name in ("L1H0", "L1H2"):
        one = alone.get(SUSCEPTIBILITIES, step, restriction=name)
        both = cells.get(SUSCEPTIBILITIES, step, restriction=name)
        assert np.allclose(one["value"], both["value"], rtol=1e-4, atol=1e-9)


def test_chains_take_the_step_that_both_strengths_allow() -> None:
    for nbeta, lr, burn_in in ((0.0, 5e-3, 6), (30.0, 5e-3, 6), (100.0, 5e-3, 6), (1000.0, 5e-4, 60)):
        chosen = settings_of(replace(QUICK, nbeta=nbeta))
        assert chosen.lr == pytest.approx(lr) and chosen.num_burnin == burn_in
        assert (chosen.nbeta, chosen.localization) == (nbeta, QUICK.localization)
        forget = 1 / (chosen.localization * chosen.lr)
        evaluated = (chosen.num_draws - chosen.num_burnin) / (2 * forget)
        assert evaluated == pytest.approx(susceptibilities.EVALUATED)


def test_cells_depend_on_the_posterior_and_the_text_alone(cells: Cells) -> None:
    def keyed(**changes: object) -> dict:
        plan = replace(cells.plan, **changes)
        return key(replace(cells, plan=plan).inputs, SUSCEPTIBILITIES, cells.run.steps[-1], {"restriction": "L1H2"})

    llc, own = cells.plan.llc, keyed()
    assert keyed(llc=replace(llc, lr=llc.lr / 2, num_draws=llc.num_draws + 8)) == own
    assert keyed(llc=replace(llc, nbeta=100.0)) != own
    assert keyed(llc=replace(llc, localization=100.0)) != own
    assert keyed(seed=1) != own and keyed(text_rows=cells.plan.text_rows + 1) != own
