"""Claim 1 on planted truths, their opposites and their absence; and the figure of stages."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import runs
from experiments.claims import stages
from experiments.claims.stages import Curves
from experiments.figures import stages as stages_figure
from experiments.results import plan
from experiments.results.cells import Cells

RUN = runs.open_run("mini-seed0")
STEPS = np.array([0, 100, 200, 400, 800, 1600, 2600, 3600, 4800, 6000, 7200, 8400, 9600, 11000, 13000, 16000, 28000])


# claim 1


def curves(middles: tuple[float, ...] = (50, 900, 3000, 8000), name: str = "one", sizes: float = 1.0) -> Curves:
    """Scores that rise at these steps; bigrams fall again, and heads that were not chosen stay where they are."""
    clock = np.log1p(STEPS)
    values = np.stack([sizes / (1 + np.exp(-4 * (clock - np.log1p(middle)))) for middle in middles])
    values[0] -= 0.3 * np.clip(clock - 7, 0, None)
    others = np.concatenate([values[:2], np.full((2, len(STEPS)), 0.02)])
    return Curves(name, STEPS, values, np.full(values.shape, 0.005), others)


def test_stages_in_order_are_found() -> None:
    found = stages.judge([curves(), curves((60, 700, 2600, 9000), "two")], ["one", "two"])
    assert found.verdict == "replicated" and found.interval is not None and found.interval[0] > 0
    assert found.p == pytest.approx(1 / 24**2)
    assert not any(control.fired for control in found.controls)
    half = stages.rises(curves(), 0.5)
    assert [one.step for one in half[1:]] == pytest.approx([900, 3000, 8000], rel=0.05)
    found.record()


def test_the_rise_of_bigrams_ends_at_their_best_checkpoint() -> None:
    rise, whole = stages.rises(curves(), 0.5)[0], curves()
    assert (rise.low, rise.high) == pytest.approx((0, 100)) and 0 < rise.step < 100
    assert whole.values[0, -1] < whole.values[0].max() / 2


@pytest.mark.parametrize(
    ("middles", "word"),
    [
        ((50, 900, 8000, 3000), "contradicted"),
        ((900, 50, 3000, 8000), "contradicted"),
        ((50, 900, 3000, 3001), "inconclusive"),
    ],
)
def test_stages_in_another_order_are_not(middles: tuple[float, ...], word: str) -> None:
    assert stages.judge([curves(middles)], ["one"]).verdict == word


class Measured(Cells):
    """Tables of eight heads over some checkpoints: heads 1 and 5 are those of the circuit."""

    def table(self, kind: str) -> xr.Dataset:
        steps = np.array([200, 800] if self.plan.seed else [0, 200, 800])
        rising = np.linspace(0, 1, len(steps))
        attention = np.tile(np.array([0.1, 0.4, 0.1, 0.1, 0.2, 0.6, 0.2, 0.2]), (len(steps), 1)) * (1 + rising[:, None])
        names = [f"L{head // 4}H{head % 4}" for head in range(8)]
        data: dict = {"previous_token": (("step", "restriction"), attention)}
        data["prefix_matching"] = data["previous_token"]
        for name in ("bigram_cross_entropy", "bigram_entropy"):
            data[name] = ("step", 3 - rising if "cross" in name else 0 * rising)
        data["ngram_score"] = (("step", "n"), 1 + rising[:, None] * np.array([1, 2, 4]))
        data |= {f"{name}_se": (dims, 0.01 + 0 * values) for name, (dims, values) in data.items()}
        coords = {"step": steps, "n": [2, 3, 4], "restriction": names}
        layers = {"layer": ("restriction", [0] * 4 + [1] * 4)}
        return xr.Dataset(data, coords | layers, {"previous": "L0H1", "induction": "L1H1"})


def test_scores_are_of_the_chosen_heads_from_the_untrained_model_on(tmp_path: Path) -> None:
    first, later = (Measured(tmp_path, RUN, plan.default_plan("python", 256, seed)) for seed in (0, 1))
    own, other = stages.curves_of(first), stages.curves_of(later, first)
    assert own.steps.tolist() == other.steps.tolist() == [0, 200, 800]
    np.testing.assert_allclose(own.values[:, 0], [-3, 1, 0.4, 0.6])
    np.testing.assert_allclose(own.values[:, -1], [-2, 4, 0.8, 1.2])
    np.testing.assert_allclose(own.others[2:, -1], [0.2, 0.4])
    np.testing.assert_allclose(other.values[:, 0], [-3, 1, 0.175, 0.3])  # means of a layer
    np.testing.assert_allclose(other.values[:, 1], [-3, 1, 0.4, 0.6])
    assert stages.curves_of(later).steps.tolist() == [200, 800]


def test_every_seed_must_hold() -> None:
    both = [curves(), curves((50, 900, 3000, 3001), "two")]
    assert stages.judge(both, ["one", "two"]).verdict == "inconclusive"
    assert stages.judge(both, ["one"]).verdict == "replicated"


def test_stages_need_four_rises_and_heads_that_differ_from_the_rest() -> None:
    flat = curves()
    flat.values[3] = 0.03
    assert stages.judge([flat], ["one"]).verdict == "not testable"
    everywhere = curves()
    everywhere.others[2:] = everywhere.values[2:]
    found = stages.judge([everywhere], ["one"])
    assert found.verdict == "inconclusive" and found.controls[1].fired


def test_stages_stand_in_their_figure() -> None:
    count, heads = len(STEPS), ["L0H0", "L0H1", "L1H0", "L1H1"]
    one = np.linspace(0, 1, count)
    data = xr.Dataset(
        {name + end: ("step", one) for name in ("loss", "icl") for end in ("", "_se")}
        | {
            name + end: (("step", "restriction"), np.tile(one[:, None], 4))
            for name in ("previous_token", "prefix_matching")
            for end in ("", "_se")
        }
        | {name: (("step", "n"), np.tile(one[:, None], 3)) for name in ("ngram_score", "ngram_score_se")}
        | {"llc": ("llc_step", one[:5]), "llc_half": ("llc_step", one[:5])}
        | {"onset": (("score", "end"), np.array([[50, 0, 100], [900, 800, 1600], [3000, 2600, 3600], [np.nan] * 3]))}
        | {"critical": (("point", "end"), np.array([[3000.0, 2600, 3600]]))},
        {"step": STEPS, "tokens": ("step", STEPS / 250), "n": [2, 3, 4], "restriction": heads, "llc_step": STEPS[:5]}
        | {"layer": ("restriction", [0, 0, 1, 1]), "score": list(stages.SCORE_NAMES)},
        {"previous": "L0H1", "induction": "L1H0", "settings": "QUICK", "millions_a_step": 0.004},
    )
    figure = stages_figure.draw(data)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[1] == "onset of longer n-grams: step 900" and "onset of induction heads: not seen" in texts
    assert texts[-1] == "critical point of the LLC"
