"""Claim 1 on planted orders of stages, other orders and scores that do not rise; its curves and their figure."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.claims import stages
from experiments.claims.stages import Curves
from experiments.figures import stages as stages_figure
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.study.verdict import Finding

RUN = runs.open_run("mini-seed0")
STEPS = np.array([0, 100, 200, 400, 800, 1600, 2600, 3600, 4800, 6000, 7200, 8400, 9600, 11000, 13000, 16000, 28000])
IN_ORDER = (50, 900, 3000, 8000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few draws for the intervals of crossings, which no verdict rests on."""
    monkeypatch.setattr(stages, "DRAWS", 10)
    yield


def curves(middles: tuple[float, ...] = IN_ORDER, name: str = "one", seed: int | None = None) -> Curves:
    """Scores that rise at these steps, a little earlier or later in each seed; bigrams fall again, and heads that were
    not chosen stay where they are.
    """
    clock = np.log1p(STEPS)
    moved = np.zeros(4) if seed is None else 0.1 * np.random.default_rng(seed).standard_normal(4)
    values = np.stack(
        [1 / (1 + np.exp(-4 * (clock - np.log1p(middle) - by))) for middle, by in zip(middles, moved, strict=True)]
    )
    values[0] -= 0.3 * np.clip(clock - 7, 0, None)
    others = np.concatenate([values[:2], np.full((2, len(STEPS)), 0.02)])
    return Curves(name, STEPS, values, np.full(values.shape, 0.005), others)


def seeds(middles: tuple[float, ...] = IN_ORDER, count: int = 6) -> list[Curves]:
    return [curves(middles, f"seed{number}", number) for number in range(count)]


def judged(every: list[Curves]) -> Finding:
    return stages.judge(every, [one.name for one in every])


def test_stages_in_order_are_found() -> None:
    found = judged(seeds())
    assert found.verdict == "replicated" and found.interval is not None and found.interval[0] > 0
    assert found.p == 1 / 64 and found.details["by seed"].keys() == {f"seed{number}" for number in range(6)}
    assert len(found.details["differences"]) == 6
    assert all(pair["met"] and len(pair["by seed"]) == 6 for pair in found.details["differences"].values())
    assert found.value == min(pair["mean"] for pair in found.details["differences"].values())
    assert not any(control.fired for control in found.controls)
    half = stages.rises(curves(), 0.5)
    assert [one.step for one in half[1:]] == pytest.approx([900, 3000, 8000], rel=0.05)
    found.record()


def test_the_rise_of_bigrams_ends_at_their_best_checkpoint() -> None:
    rise, whole = stages.rises(curves(), 0.5)[0], curves()
    assert (rise.low, rise.high) == pytest.approx((0, 100)) and 0 < rise.step < 100
    assert whole.values[0, -1] < whole.values[0].max() / 2


@pytest.mark.parametrize(
    ("middles", "count", "word"),
    [
        ((50, 900, 8000, 3000), 6, "contradicted"),
        ((900, 50, 3000, 8000), 6, "contradicted"),
        (IN_ORDER, 4, "inconclusive"),  # four seeds give no p below 1/16
    ],
)
def test_stages_in_another_order_are_not(middles: tuple[float, ...], count: int, word: str) -> None:
    assert judged(seeds(middles, count)).verdict == word


def test_stages_at_one_time_are_absent() -> None:
    together = [curves((50, 900, 3000, 3000 * after), f"seed{place}") for place, after in enumerate((0.99, 1.01) * 4)]
    found = judged(together)
    assert found.verdict == "absent" and "previous-token heads, then induction heads" in found.statistic


class Measured(Cells):
    """Tables of eight heads over some checkpoints: heads 1 and 5 are those of the circuit."""

    def table(self, kind: object) -> xr.Dataset:
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


def test_every_judged_seed_needs_four_rises() -> None:
    flat = curves(name="flat")
    flat.values[3] = 0.03
    found = judged([*seeds(), flat])
    assert found.verdict == "not testable" and found.diagnosis.startswith("flat: induction heads: ")
    assert set(found.details["by seed"]) == {f"seed{number}" for number in range(6)} and not found.controls
    unjudged = stages.judge([*seeds(), flat], [f"seed{number}" for number in range(6)])
    assert unjudged.verdict == "replicated" and "flat" in unjudged.details
    with pytest.raises(NotMeasurable, match="flat: induction heads"):
        judged([flat])


def test_heads_that_were_not_chosen_must_differ() -> None:
    everywhere = seeds()
    for one in everywhere:
        one.others[2:] = one.values[2:]
    found = judged(everywhere)
    assert found.verdict == "inconclusive" and found.controls[1].fired


def test_two_checkpoints_have_no_order_of_stages() -> None:
    rising = np.array([[0.0, 1.0]] * 4)
    two = Curves("one", np.array([0, 1000]), rising, np.full((4, 2), 0.001), np.zeros((4, 2)))
    with pytest.raises(NotMeasurable, match="run one has 2 checkpoints"):
        judged([two])


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
