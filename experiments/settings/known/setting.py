"""The setting known: normal crossings and tanh networks, sampled at the origin and compared with published values."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.settings import intervals, limits, replica_exchange
from experiments.settings.known.models import CROSSINGS, MODELS, NETWORKS, Model
from experiments.settings.parts import Measured, Part, Place
from experiments.settings.table import Row
from llc import learning_coefficient, mala, quadrature, sample_function
from llc.chains import with_gradient
from llc.settings import Settings

REPLICAS, STEPS, BURNIN = 12, 6000, 1200
LOWEST, HIGHEST, LEVELS = 1.0, 1e8, 33
GROUPS = 4  # of replicas, each with a limit of its own
FITTED = 1e5  # nbeta from which on the leading law is fitted
PLAIN = Settings("plain", 0.05, 10.0, 1.0, 1, num_chains=16, num_draws=4000, num_burnin=600)
NOTE = "the limit by the leading law over nbeta, whose next terms are left out"
CAPTION = (
    "The posterior mean of nbeta L at the origin, under a normal prior, over nbeta, with 95% intervals from 12 "
    "replicas. Left: products of powers. Right: networks of tanh units with one input and one output, whose true "
    "function is zero. Dotted: the published coefficients, which are the limits. Lines: the leading law of the limit, "
    "fitted from nbeta 100,000 on. Triangles: chains of the project's general sampler at nbeta 10."
)


def parts() -> list[Part]:
    """One for each model."""
    return [
        Part(model.name.replace("^", ""), 45.0, partial(_measure, model, seed)) for seed, model in enumerate(MODELS)
    ]


def _measure(model: Model, seed: int, place: Place) -> dict[str, Any]:
    """The posterior mean of nbeta L, by replica and nbeta; by the project's chains at one nbeta, and exactly there."""
    ladder = torch.logspace(math.log10(LOWEST), math.log10(HIGHEST), LEVELS, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    # close to the center: far out a product of powers is so steep that Langevin proposals are never taken
    start = 0.3 * torch.randn(REPLICAS, LEVELS, model.parameters, generator=generator, dtype=torch.float64)
    evaluate = partial(with_gradient, partial(_population, model))
    chains = replica_exchange.draws(evaluate, start, ladder, localization=1.0, steps=STEPS, burnin=BURNIN, seed=seed)
    total = torch.zeros(REPLICAS, LEVELS, dtype=torch.float64)
    for _, loss in chains:
        total += loss
    means = ladder * total / (STEPS - BURNIN)
    center = torch.zeros(model.parameters)
    found = learning_coefficient(sample_function(model.loss, center, settings=PLAIN, seed=seed, kernel=mala))
    exact = quadrature.posterior(model.loss, center, PLAIN, 6.6) if model.parameters <= 2 else None
    return {
        "nbeta": ladder.tolist(),
        "means": [[round(value, 6) for value in replica] for replica in means.tolist()],
        "sampled": [float(found.value), *found.interval.values.tolist()],
        "quadrature": exact,
    }


def _population(model: Model, positions: torch.Tensor) -> torch.Tensor:
    return model.loss(positions, None)


def rows(measured: Measured) -> list[Row]:
    """Limits beside published coefficients, chains beside exact values; half the number of parameters as control."""
    table = []
    for model in MODELS:
        found = _of(measured, model)
        name, limit = f"{model.name}: coefficient", _limit(found, model)
        table.append(Row(name, model.exact.value, model.source, *limit, note=NOTE))
        table.append(_at_one_nbeta(found, model))
        if model.exact.value < model.parameters / 2:
            source = "half the number of parameters, as for a regular model"
            table.append(Row(f"{model.name}: as if regular", model.parameters / 2, source, *limit, control=True))
    return table


def _key(model: Model) -> str:
    return model.name.replace("^", "")


def _of(measured: Measured, model: Model) -> dict[str, Any]:
    return measured[_key(model)]


def _limit(found: dict[str, Any], model: Model) -> tuple[float, float, float]:
    """The limit over nbeta, with its interval from groups of replicas."""
    nbetas, means = np.array(found["nbeta"]), np.array(found["means"])
    kept = nbetas >= FITTED
    groups = means[:, kept].reshape(GROUPS, REPLICAS // GROUPS, -1).mean(1)
    return intervals.mean([limits.limit(nbetas[kept], group, model.exact.multiplicity) for group in groups])


def _at_one_nbeta(found: dict[str, Any], model: Model) -> Row:
    """The project's chains at nbeta 10 beside the exact value there: by quadrature where that is possible."""
    name, (value, low, high) = f"{model.name}: chains at nbeta {PLAIN.nbeta:g}", found["sampled"]
    if found["quadrature"] is not None:
        return Row(name, found["quadrature"], "quadrature (llc.quadrature)", value, low, high)
    level = int(np.argmin(np.abs(np.array(found["nbeta"]) - PLAIN.nbeta)))
    exact, below, above = intervals.mean(np.array(found["means"])[:, level].tolist())
    half = math.hypot((high - low) / 2, (above - below) / 2)  # the reference has an error of its own
    return Row(name, exact, "replica exchange, whose error is in the interval", value, value - half, value + half)


def draw(measured: Measured) -> Figure:
    """Normal crossings on the left, networks on the right."""
    figure = style.new_figure(9.5, 3.8)
    for axis, models in zip(figure.subplots(1, 2), (CROSSINGS, NETWORKS), strict=True):
        for number, model in enumerate(models):
            _curve(axis, _of(measured, model), model, number)
        axis.set(xscale="log", xlabel="nbeta", ylabel="posterior mean of nbeta L")
        axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left", ncols=2)
        axis.set_ylim(0, 1.35 * max(model.exact.value for model in models))
        style.tidy(axis)
    return figure


def _curve(axis: Axes, found: dict[str, Any], model: Model, number: int) -> None:
    """A model's means, their law, the published value and the chains."""
    color = style.COLORS[number]
    nbetas, means = np.array(found["nbeta"]), np.array(found["means"])
    spread = 2.2 * means.std(0, ddof=1) / math.sqrt(REPLICAS)  # Student's quantile with 11 degrees of freedom
    axis.errorbar(nbetas, means.mean(0), spread, color=color, marker="o", ms=2, lw=0, elinewidth=0.8, label=model.name)
    axis.axhline(model.exact.value, color=color, ls=":", lw=1.2)
    kept = nbetas >= FITTED
    fit = limits.fitted(nbetas[kept], means.mean(0)[kept], model.exact.multiplicity)
    axis.plot(nbetas[kept], fit, color=color, lw=0.9)
    value, low, high = found["sampled"]
    axis.errorbar(PLAIN.nbeta * 1.15, value, [[value - low], [high - value]], color=color, marker="^", ms=4, lw=0.8)
