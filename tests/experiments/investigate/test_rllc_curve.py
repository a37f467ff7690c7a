"""The learning coefficient of any restriction over training: the numbers of the sampler, and cells that are kept."""

import re
from pathlib import Path

import numpy as np
import pytest

from experiments.investigate.investigation import Investigation
from experiments.measurements.rllc import RLLC
from llc import engine, estimate
from llc.intervals import half_widths

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def inv(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Investigation:
    return Investigation(trained / "runs/tiny-seed0", out=tmp_path_factory.mktemp("curve") / "out", tokens=1500)


def test_a_union_is_sampled_as_by_hand_and_kept(inv: Investigation) -> None:
    curve = inv.rllc("1:2+L0H1", steps=[10, 60])
    assert curve.name == "L0H1+L1H2" and curve.table.step.values.tolist() == [10, 60]
    inputs = inv.snapshot.cells.inputs
    plan = inputs.plan

    def by_hand(name: str) -> float:
        traces = engine.sample(inputs.model(60), inputs.sampled, [name], settings=plan.llc, seed=plan.seed)
        return float(estimate.learning_coefficient(traces[name]).value)

    value = float(curve.table.value.sel(step=60))
    assert value == pytest.approx(by_hand("L0H1+L1H2"), rel=1e-6)
    assert abs(value - by_hand("L0H1+L1H3")) > 1e-3 * value  # the control: another union
    assert np.allclose(curve.frame.half_width, half_widths(curve.table)) and (curve.frame.half_width > 0).all()
    kept = {path: path.stat().st_mtime_ns for path in inv.snapshot.cells.folder.rglob("*.safetensors")}
    again = inv.rllc("L1H2+L0H1", steps=[10, 60])  # the same restriction in another order
    assert again.frame.equals(curve.frame)
    assert {path: path.stat().st_mtime_ns for path in inv.snapshot.cells.folder.rglob("*.safetensors")} == kept


def test_a_head_is_that_of_its_card(inv: Investigation) -> None:
    curve = inv.rllc("1:2", steps=[60])
    cell = inv.snapshot.cells.get(RLLC, 60, restriction="L1H2")
    assert curve.frame.value.tolist() == [float(cell.value)] and curve.frame.verdict.tolist() == [cell.verdict.item()]


def test_it_shows_and_saves_itself(inv: Investigation, tmp_path: Path) -> None:
    curve = inv.rllc("embed", steps=[60])
    page = curve.save(tmp_path / "embed.html").read_text()
    assert "embed of tiny-seed0: learning coefficient over training" in page and "http" not in page
    assert curve.plot().axes[0].get_ylabel().startswith("rLLC (")
    assert len(inv.rllc("L1H2").steps) == len(inv.snapshot.few_steps)


def test_a_heads_curve_stands_among_those_of_its_layer(inv: Investigation) -> None:
    inv["L1H3"].layer_rllc  # noqa: B018 (samples the layer)
    steps = inv.snapshot.few_steps
    curve, known = inv.rllc("L1H3", steps), inv.snapshot.rllc()
    axis = curve.plot("L1H0").axes[0]
    drawn = {tuple(bars.lines[0].get_ydata().tolist()) for bars in axis.containers}
    values = {name: known.value.sel(restriction=name, step=steps).values for name in known.restriction.values}
    assert drawn == {tuple(of.tolist()) for name, of in values.items() if str(name).startswith("L1")}
    assert [text.get_text() for text in axis.texts] == ["L1H3", "L1H0"]
    assert len(inv.rllc("L1H0+L1H3", [60]).plot().axes[0].containers) == 1, "control: a union is compared with none"
    with pytest.raises(ValueError, match="L0H1: no other head with a curve here; there are L1H0"):
        curve.plot("L0H1")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda inv: inv.rllc("L7H0"), "no head L7H0"),
        (lambda inv: inv.rllc("nonsense"), "nonsense"),
        (lambda inv: inv.rllc("L0H1", steps=[7]), "no checkpoint at step 7"),
        (lambda inv: inv.rllc("L0H1", steps=[]), "give at least one checkpoint"),
        (
            lambda inv: Investigation(inv.run, out=inv.snapshot.cells.folder, gauge="balanced").rllc("embed"),
            'gauge="balanced" is of single heads',
        ),
    ],
)
def test_what_there_is_not_is_said_in_one_line(inv: Investigation, wrong, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        wrong(inv)
    assert "\n" not in str(raised.value)
