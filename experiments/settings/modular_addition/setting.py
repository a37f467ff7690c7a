"""Modular addition: what is trained and measured, and the law that its complexity is held against.

Networks of one hidden layer learn (a + b) mod p from 80% of all pairs, for several p and seeds; the controls learn
random labels, which can only be memorised. Each takes some ten seconds, its learning coefficient as long.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from experiments.settings import estimates, intervals, laplace, slopes
from experiments.settings.intervals import Interval
from experiments.settings.modular_addition import spectrum
from experiments.settings.modular_addition.figure import draw
from experiments.settings.modular_addition.network import (
    STEPS,
    Pairs,
    Weights,
    alive,
    frequencies,
    logits,
    pairs,
    quality,
    train,
)
from experiments.settings.parts import Measured, Part, Place
from experiments.settings.table import Row
from llc import Settings, leimkuhler_matthews, sample_function

__all__ = ["CAPTION", "draw", "parts", "rows"]

MODULI, SEEDS = (19, 23, 29, 31, 37, 41), (0, 1, 2)
RANDOM_MODULI = (13, 17, 19, 23)
LARGEST_SPECTRUM = 23  # the curvatures of larger ones take minutes
WATCHED = 23  # the modulus that is followed through training
CURVE = tuple(range(0, STEPS + 1, 50))
MEASURED_STEPS = (200, 300, 400, 500, 600, 800, 1000, 1300, 1700, STEPS)
# The localization lets weights vary by 0.03 (they are of order 1), so that pruned neurons stay without effect; nbeta
# is so large that a direction counts whose curvature is a hundredth of the largest.
SETTINGS = Settings(
    "MODULAR",
    lr=2e-5,
    nbeta=3.3e6,
    localization=1e3,
    batch_size=1,
    num_chains=2,
    num_draws=800,
    num_burnin=300,
)
SAMPLED = "sampled LLC / Laplace's value at the same nbeta"
FORUM = "Panickssery and Vaintrob, Alignment Forum 2023 (networks that generalise: linear in p)"
OWN = "derived in spectrum.py"

CAPTION = (
    "Left: accuracy on the pairs trained on and on the others, and the learning coefficient of three networks mod 23 "
    "(bars: 95% intervals). It falls while they generalise, and on as weight decay prunes neurons. Middle: the final "
    "coefficient against the modulus, with fitted powers. Right: sampled coefficients against Laplace's value at the "
    "same nbeta, from the curvatures."
)


def parts() -> list[Part]:
    """Three networks followed through training, and the final ones of each modulus and seed."""
    watched = [Part(f"training {seed}", 150.0, partial(_training, seed)) for seed in SEEDS]
    final = [
        Part(f"{kind} {modulus} {seed}", 40.0, partial(_final, kind == "random", modulus, seed))
        for kind, moduli in (("sum", MODULI), ("random", RANDOM_MODULI))
        for modulus in moduli
        for seed in SEEDS
    ]
    return watched + final


def coefficient(weights: Weights, data: Pairs, seed: int, settings: Settings = SETTINGS) -> dict[str, Any]:
    """The learning coefficient of a network's predictions on the pairs that it was trained on (spectrum.py)."""
    rows = data.trained
    own = logits(weights[None], rows)[0].log_softmax(1)
    share = own.exp()

    def divergence(positions: Tensor, _: Tensor | None) -> Tensor:
        out = logits(positions.unflatten(1, weights.shape), rows).log_softmax(2)
        return (share * (own - out)).sum(2).mean(1)

    trace = sample_function(
        divergence, weights.flatten(), settings=settings, seed=seed, kernel=leimkuhler_matthews, name="modular addition"
    )
    return estimates.record(trace)


def _on(place: Place, data: Pairs) -> Pairs:
    return Pairs(*(rows.to(place.device) for rows in data))


def _training(seed: int, place: Place) -> dict[str, Any]:
    """Qualities and coefficients of one network over training."""
    data = pairs(WATCHED, seed)
    kept = train(WATCHED, data, seed, {*CURVE, *MEASURED_STEPS})
    curve = [[step, *(round(value, 5) for value in quality(kept[step], data))] for step in CURVE]
    found = {
        str(step): coefficient(kept[step].to(place.device), _on(place, data), seed) | _shape(kept[step])
        for step in MEASURED_STEPS
    }
    return {"curve": curve, "llc": found}


def _final(random: bool, modulus: int, seed: int, place: Place) -> dict[str, Any]:
    """One network at the end of its training."""
    data = pairs(modulus, seed, random=random)
    weights = train(modulus, data, seed, {STEPS})[STEPS]
    found = {"quality": quality(weights, data)._asdict(), **_shape(weights), "pairs": len(data.trained)}
    found["llc"] = coefficient(weights.to(place.device), _on(place, data), seed)
    if modulus <= LARGEST_SPECTRUM:
        values = spectrum.eigenvalues(weights, data.trained)
        found["rank"] = spectrum.rank(values)
        found["laplace"] = round(laplace.coefficient(values, SETTINGS.nbeta, SETTINGS.localization), 3)
    return found


def _shape(weights: Weights) -> dict[str, float]:
    return {"neurons": int(alive(weights).sum()), "frequencies": round(frequencies(weights), 2)}


def final(measured: Measured, kind: str) -> list[dict[str, Any]]:
    """The final networks of a kind ("sum" or "random") with their modulus."""
    names = [name.split() for name in measured]
    return [measured[" ".join(n)] | {"modulus": int(n[1]), "seed": int(n[2])} for n in names if n[0] == kind]


def rows(measured: Measured) -> list[Row]:
    """The linear law and what it is made of, Laplace's values, and the fall at generalisation."""
    sums, randoms = final(measured, "sum"), final(measured, "random")
    law, memory = growth(sums), growth(randoms)
    per_neuron = slopes.exponent(_of(sums, "modulus") - 1, _of(sums, "value") / _of(sums, "neurons"))
    ranked = [one for one in (*sums, *randoms) if "rank" in one]
    ranks = [one["rank"] / (3 * one["neurons"] * (one["modulus"] - 1)) for one in ranked]
    sampled = intervals.mean([one["llc"]["value"] / one["laplace"] for one in ranked])
    fall = intervals.mean([math.log(_fall(measured[f"training {seed}"])) for seed in SEEDS])
    more = intervals.mean(_more_for_random(sums, randoms))
    return [
        Row("exponent of the LLC in the modulus p", 1.0, FORUM, *law, note=_why_not_linear(sums)),
        Row("exponent of the LLC per neuron in p - 1", 1.0, OWN, *per_neuron),
        Row("rank of the Fisher information / 3 (p - 1) neurons", 1.0, OWN, *intervals.mean(ranks)),
        Row(SAMPLED, 1.0, "Laplace's method, spectrum.py", *sampled, note=_unsettled([*sums, *randoms])),
        Row("log of the LLC before / after generalising", (0.0, np.inf), "it falls: Panickssery and Vaintrob", *fall),
        Row(
            "log of the LLC, random labels / sums, same p", (0.0, np.inf), "memorising is more complex: as above", *more
        ),
        Row("exponent of the LLC in p, random labels", 1.0, FORUM, *memory, control=True),
    ]


def growth(networks: list[dict[str, Any]]) -> Interval:
    """The exponent of the learning coefficient in the modulus."""
    return slopes.exponent(_of(networks, "modulus"), _of(networks, "value"))


def _of(networks: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([one["llc"]["value"] if name == "value" else one[name] for one in networks], dtype=float)


def _fall(training: dict[str, Any]) -> float:
    """The coefficient when the pairs trained on are known and the others are not, over the final one."""
    known = [step for step, _, accuracy, _, held_out in training["curve"] if accuracy > 0.999 and held_out < 0.5]
    before = [one["value"] for step, one in training["llc"].items() if int(step) in known]
    return max(before) / training["llc"][str(STEPS)]["value"]


def _more_for_random(sums: list[dict[str, Any]], randoms: list[dict[str, Any]]) -> list[float]:
    """The logarithm of the ratio, for networks of one modulus and seed."""
    sum_of = {(one["modulus"], one["seed"]): one["llc"]["value"] for one in sums}
    known = [one for one in randoms if (one["modulus"], one["seed"]) in sum_of]
    return [math.log(one["llc"]["value"] / sum_of[one["modulus"], one["seed"]]) for one in known]


def _unsettled(networks: list[dict[str, Any]]) -> str:
    virial = np.mean([one["llc"]["virial"] for one in networks])
    return f"The flattest directions have not settled within the burn-in: the mean virial ratio is {virial:.3f}"


def _why_not_linear(sums: list[dict[str, Any]]) -> str:
    value, low, high = slopes.exponent(_of(sums, "modulus"), _of(sums, "neurons"))
    return (
        "A neuron's LLC is linear in p, but here a larger p takes more neurons, as it takes more frequencies: their "
        f"number has the exponent {value:.2f} [{low:.2f}, {high:.2f}]. Networks of a fixed "
        "width, all of it used, have nothing to add"
    )
