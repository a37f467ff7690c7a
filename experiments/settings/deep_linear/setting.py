"""The setting deep-linear: from saddle to saddle, with the learning coefficient at each."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.settings import intervals, limits, plateaus
from experiments.settings.deep_linear import coefficients, network, picture
from experiments.settings.parts import Measured, Part, Place
from experiments.settings.table import Row
from llc.closed_form import deep_linear

SEEDS = range(8)
CENTERS = range(4)  # seeds whose saddles are sampled
WARM = 10.0  # nbeta at which Langevin chains mix within seconds
SIZES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # of starts whose escape from the first saddle is timed
FLAT, SHORTEST = 0.02, 10  # records
THINNED = 2  # of how many records the measured loss has one
JACOT = "Jacot et al., arXiv:2106.15933"
AOYAGI = "Aoyagi 2024, Theorem 1 (llc.closed_form.deep_linear)"
CAPTION = (
    "A two-layer linear network learns a map of rank 3. Left: the loss of 8 runs each from a small and from a large "
    "start; dashed, the losses of the saddles of rank 0, 1 and 2. Middle: the coefficient over training against what "
    "the network computes itself, at nbeta 1,000 (95% intervals); dotted, exact coefficients of the ranks. Right: the "
    "coefficient at each saddle over nbeta, a line for each of 4 seeds (95% intervals); dotted, the exact coefficients."
)


def parts() -> list[Part]:
    """Losses of all seeds, the coefficient over training, and at the saddles of some seeds."""
    saddles = [Part(f"saddles of seed {seed}", 60.0, partial(_saddles, seed)) for seed in CENTERS]
    return [
        Part("losses", 20.0, _losses),
        Part("escapes", 20.0, _escapes),
        Part("over training", 90.0, _over_training),
        *saddles,
    ]


def _losses(place: Place) -> dict[str, Any]:
    """The loss of every seed at every record, from the small and from the large start."""
    found = {}
    for name, size in (("small", network.SMALL), ("large", network.LARGE)):
        runs = [network.train(size, seed, network.STEPS[size]) for seed in SEEDS]
        found[name] = [[round(value, 5) for value in run.loss[::THINNED].tolist()] for run in runs]
    return found


def _escapes(place: Place) -> dict[str, list[float]]:
    """By size of the start, the time of each seed at the first saddle."""
    return {f"{size:g}": [network.escape(size, seed) for seed in SEEDS] for size in SIZES}


def _over_training(place: Place) -> dict[str, Any]:
    """Steps, and the coefficient at each with its interval, from either start (seed 0)."""
    found = {}
    for name, size in (("small", network.SMALL), ("large", network.LARGE)):
        run = network.train(size, 0, network.STEPS[size])
        records = np.unique(np.linspace(0, len(run.factors) - 1, 25 if name == "small" else 9).astype(int))
        estimates = [coefficients.exact(run.factors[record], 1000.0, int(record)) for record in records]
        found[name] = {"steps": (records * network.EVERY).tolist(), "coefficient": estimates}
    return found


def _saddles(seed: int, place: Place) -> dict[str, Any]:
    """By rank, in the middle of its plateau: the coefficient over nbeta, and by either sampler at a small one.

    The center is the network's own map of the rank that is learned: both factors without what is still tiny.
    """
    run, found = network.train(network.SMALL, seed, network.STEPS[network.SMALL]), {}
    for rank in network.RANKS:
        factors = network.of_rank(run.factors[_middle(run.loss.numpy(), rank)], rank)
        found[str(rank)] = {
            "exact": [coefficients.exact(factors, nbeta, 10 * seed + rank) for nbeta in coefficients.NBETAS],
            "gibbs": coefficients.exact(factors, WARM, seed),
            "langevin": coefficients.sampled(factors, WARM, seed),
        }
    return found


def _middle(curve: np.ndarray, rank: int, shortest: int = SHORTEST) -> int:
    """The record in the middle of a rank's plateau; raises ValueError where there is none."""
    for begin, end in plateaus.find(curve, flat=FLAT, shortest=shortest):
        if abs(np.median(curve[begin:end]) / network.level(rank) - 1) < FLAT:
            return (begin + end) // 2
    raise ValueError(f"rank {rank}: this run has no plateau at the loss {network.level(rank):g}")


def _ranks_seen(curve: list[float]) -> int:
    """How many of the saddles' losses a run has a plateau at; curve: thinned."""
    found = plateaus.find(np.array(curve), flat=FLAT, shortest=SHORTEST // THINNED)
    medians = [float(np.median(curve[begin:end])) for begin, end in found]
    return sum(any(abs(m / network.level(rank) - 1) < FLAT for m in medians) for rank in network.RANKS)


def rows(measured: Measured) -> list[Row]:
    """Plateaus, escape times and coefficients, beside theory; the large start is the control."""
    seen = {
        name: intervals.mean([_ranks_seen(curve) for curve in measured["losses"][name]]) for name in ("small", "large")
    }
    table = [
        Row("saddles visited of 3, from a small start", 3, JACOT, *seen["small"]),
        Row(
            "saddles visited of 3, from a large start", 3, JACOT, *seen["large"], control=True,
            note="there the loss goes down in one piece, as in the lazy regime",
        ),
    ]  # fmt: skip
    table += [_level(measured, rank) for rank in network.RANKS]
    table.append(_escape(measured))
    table += [_coefficient(measured, rank) for rank in network.RANKS]
    return [*table, _two_samplers(measured), _wrong_rank(measured)]


def _level(measured: Measured, rank: int) -> Row:
    """The loss in the middle of the plateau, with its interval over seeds, within 1% of the saddle's."""
    curves = [np.array(curve) for curve in measured["losses"]["small"]]
    found = intervals.mean([float(curve[_middle(curve, rank, SHORTEST // THINNED)]) for curve in curves])
    level = network.level(rank)
    source = "sum of the squared singular values that are not learned yet, to 1%"
    return Row(f"loss of the plateau of rank {rank}", (0.99 * level, 1.01 * level), source, *found)


def _escape(measured: Measured) -> Row:
    """Entries grow as exp(2 s t) near the origin, s the largest singular value: time by log(1 / size)."""
    sizes = [-np.log(float(size)) for size, times in measured["escapes"].items() for _ in times]
    times = [time for each in measured["escapes"].values() for time in each]
    found = intervals.slope(sizes, times)
    source = f"linearisation at the origin; {JACOT} (escape takes a time that is logarithmic in the start)"
    return Row("time at the first saddle by log(1 / size)", 1 / (2 * network.SINGULAR[0]), source, *found)


def _coefficient(measured: Measured, rank: int) -> Row:
    """The limit over nbeta against the exact coefficient."""
    exact = deep_linear(network.WIDTHS, rank)
    of_seeds = [measured[f"saddles of seed {seed}"][str(rank)] for seed in CENTERS]
    limit = [_limit(one["exact"], exact.multiplicity) for one in of_seeds]
    name = f"coefficient at the saddle of rank {rank}, in the limit"
    return Row(name, exact.value, AOYAGI, *intervals.mean(limit))


def _two_samplers(measured: Measured) -> Row:
    """The general sampler against the exact one, over seeds and ranks."""
    of_seeds = [measured[f"saddles of seed {seed}"][str(rank)] for seed in CENTERS for rank in network.RANKS]
    apart = intervals.mean([one["langevin"][0] - one["gibbs"][0] for one in of_seeds])
    return Row(f"Langevin less Gibbs sampler, nbeta {WARM:g}", 0, "two exact samplers of one posterior", *apart)


def _wrong_rank(measured: Measured) -> Row:
    """The control: the coefficient of rank 0 must not come out at the saddle of rank 1."""
    wrong, right = deep_linear(network.WIDTHS, 0).value, deep_linear(network.WIDTHS, 1)
    of_seeds = [measured[f"saddles of seed {seed}"]["1"]["exact"] for seed in CENTERS]
    found = intervals.mean([_limit(values, right.multiplicity) for values in of_seeds])
    return Row("coefficient of rank 0, at the saddle of rank 1", wrong, AOYAGI, *found, control=True)


def _limit(values: list[list[float]], multiplicity: int) -> float:
    """The limit of values over NBETAS; of those with a logarithm the first is left out, where other terms are large."""
    first = 1 if multiplicity > 1 else 0
    return limits.limit(coefficients.NBETAS[first:], [value[0] for value in values[first:]], multiplicity)


def draw(measured: Measured) -> Figure:
    """Losses, the coefficient over training, and at the saddles over nbeta."""
    return picture.draw(measured)
