"""Patterns counted: what is trained and measured, and whether complexity grows with the number of patterns.

Two-layer models learn texts that differ in the number of patterns alone (model.py); the controls learn the same texts
with shuffled words. A model takes a minute, its learning coefficient half of that.
"""

from functools import partial
from typing import Any

import numpy as np

from experiments.settings import estimates, intervals, slopes
from experiments.settings.parts import Measured, Part, Place
from experiments.settings.patterns.figure import draw
from experiments.settings.patterns.model import missed, text, train
from experiments.settings.table import Row
from llc import Settings, kl_to, leimkuhler_matthews, sample

__all__ = ["CAPTION", "draw", "parts", "rows"]

NUMBERS, SHUFFLED_NUMBERS, SEEDS = (0, 128, 256), (0, 256), (0, 1)
ROWS = 1000  # of the training text, on which the coefficient is taken
SETTINGS = Settings(
    "PATTERNS", lr=3e-4, nbeta=200.0, localization=200.0, batch_size=8, num_chains=2, num_draws=220, num_burnin=90
)
MEMORISED = "memorised multigrams raise it: Wang et al., arXiv:2410.02984"

CAPTION = (
    "Learning coefficient of the whole model, of its own predictions on the text that it was trained on, against the "
    "number of patterns in the text: one point for each seed, bars are 95% intervals. Control: the same texts with the "
    "words of each document shuffled, which have no patterns."
)


def parts() -> list[Part]:
    """A model for each number of patterns and seed."""
    return [
        Part(f"{kind} {number} {seed}", 50.0, partial(_measure, number, seed, kind == "shuffled"))
        for seed in SEEDS
        for kind, numbers in (("patterns", NUMBERS), ("shuffled", SHUFFLED_NUMBERS))
        for number in numbers
    ]


def _measure(number: int, seed: int, shuffled: bool, place: Place) -> dict[str, Any]:
    """One model: what it misses of its patterns, and its learning coefficient."""
    data = text(number, seed, shuffled=shuffled)
    model = train(data, seed, place.device)
    traces = sample(
        model,
        data.tokens[:ROWS].to(place.device),
        ["full"],
        settings=SETTINGS,
        seed=seed,
        loss=kl_to(model, "itself"),
        kernel=leimkuhler_matthews,
    )
    lost = None if shuffled else missed(model, data, place.device)
    return {"missed": lost, "llc": estimates.record(traces["full"])}


def of_kind(measured: Measured, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of patterns and coefficients of the models of a kind, "patterns" or "shuffled", by number, then seed."""
    names = sorted((n for n in measured if n.split()[0] == kind), key=lambda n: [int(part) for part in n.split()[1:]])
    return np.array([int(n.split()[1]) for n in names]), np.array([measured[n]["llc"]["value"] for n in names])


def rows(measured: Measured) -> list[Row]:
    """The growth, whether the patterns were learned, and two controls."""
    (number, value), (of_shuffled, shuffled) = of_kind(measured, "patterns"), of_kind(measured, "shuffled")
    up = (0.0, np.inf)
    lost = [one["missed"] for one in measured.values() if one["missed"] is not None]
    hundred = slopes.times(slopes.line(number, value), 100)
    share = slopes.times(slopes.line(of_shuffled, shuffled), 100 / hundred[0])
    return [
        Row("LLC that 100 patterns add", up, MEMORISED, *hundred),
        Row("loss over the entropy at targets, nats", (-np.inf, 1.0), "untrained it is 5", *intervals.mean(lost)),
        Row("what 100 patterns add, shuffled words / in order", 1.0, MEMORISED, *share, control=True),
        Row(
            "LLC that 100 patterns add, numbers shuffled",
            up,
            MEMORISED,
            *slopes.times(slopes.shuffled(number, value), 100),
            control=True,
        ),
    ]
