"""What is measured of one training: losses, distances to ridge and dMMSE, coefficients, and its path."""

from typing import Any

import torch
from torch import Tensor

from experiments.settings import laplace
from experiments.settings.in_context_regression import coefficient, data, network
from experiments.settings.in_context_regression.coefficient import SETTINGS
from experiments.settings.in_context_regression.data import Contexts, Tasks
from experiments.settings.in_context_regression.network import Weights
from experiments.settings.in_context_regression.predictors import dmmse, ridge, ridge_loss
from experiments.settings.parts import Place

FEW = 4  # the list of tasks that networks of new tasks are held against
STEPS, SHUFFLED_STEPS = 2500, 800
CURVE = (
    *(0, 20, 40, 60, 80, 100, 130, 160, 200, 250, 300, 400, 500, 600, 700, 800),
    *(1000, 1200, 1400, 1600, 1800, 2000, 2250, STEPS),
)
MEASURED_STEPS = (0, 100, 400, STEPS)
CONTEXTS, LLC_CONTEXTS, PATH_CONTEXTS = 2000, 48, 12


def training(count: int | None, seed: int, place: Place) -> dict[str, Any]:
    """One network, trained on so many tasks, or on new ones for None.

    curve: step, then loss and distances to ridge and dMMSE for contexts of new tasks, and the same for listed ones.
    """
    known = data.tasks(count or FEW, seed)
    kept = network.train(None if count is None else known, seed, {*CURVE, *MEASURED_STEPS})
    new, listed = evaluation(None, seed), evaluation(known, seed)
    curve = [[step, *_nearness(kept[step], new, known), *_nearness(kept[step], listed, known)] for step in CURVE]
    return {
        "curve": _rounded(curve),
        "reference": _rounded({"new": references(new, known), "listed": references(listed, known)}),
        "by_example": _rounded(_missed(predictions(kept[STEPS], new), new).mean(0).tolist()),
        "path": _rounded([predictions(kept[step], fixed()).flatten().tolist() for step in CURVE], 3),
        "ridge": _rounded(ridge(fixed()).flatten().tolist(), 3),
        "dmmse": _rounded(dmmse(fixed(), known).flatten().tolist(), 3),
        "llc": {str(step): _complexity(kept[step], seed, place) for step in MEASURED_STEPS},
    }


def control(seed: int, place: Place) -> dict[str, Any]:
    """A network for which examples say nothing: losses on shuffled contexts."""
    steps = [step for step in CURVE if step <= SHUFFLED_STEPS]
    kept = network.train(None, seed, steps, shuffle=True)
    found = data.shuffled(evaluation(None, seed), torch.Generator().manual_seed(seed))
    return {"curve": [[step, round(float(_missed(predictions(kept[step], found), found).mean()), 5)] for step in steps]}


def evaluation(known: Tasks | None, seed: int) -> Contexts:
    """Contexts that were not trained on, the seed's."""
    return data.contexts(CONTEXTS, known, torch.Generator().manual_seed(30_000 + seed))


def fixed() -> Contexts:
    """Contexts of new tasks on which the paths of all networks are compared."""
    return data.contexts(PATH_CONTEXTS, None, torch.Generator().manual_seed(40_000))


@torch.no_grad()
def predictions(weights: Weights, found: Contexts) -> Tensor:
    return network.outputs(weights[None], data.tokens(found))[0]


def references(found: Contexts, known: Tasks) -> dict[str, Any]:
    """Losses of ridge, dMMSE and 0, ridge's expected loss, and how far ridge is from dMMSE, by example and in all."""
    first, second = ridge(found), dmmse(found, known)
    return {
        "ridge": float(_missed(first, found).mean()),
        "dmmse": float(_missed(second, found).mean()),
        "zero": float(found.labels.square().mean()),
        "apart": float((first - second).square().mean()),
        "ridge_by_example": ridge_loss(found).mean(0).tolist(),
        "dmmse_by_example": _missed(second, found).mean(0).tolist(),
    }


def _missed(predicted: Tensor, found: Contexts) -> Tensor:
    return (predicted - found.labels).square()


def _nearness(weights: Weights, found: Contexts, known: Tasks) -> list[float]:
    """The loss, and mean squared distances to ridge and to dMMSE."""
    predicted = predictions(weights, found)
    near = [(predicted - other).square().mean() for other in (ridge(found), dmmse(found, known))]
    return [float(value) for value in (_missed(predicted, found).mean(), *near)]


def _complexity(weights: Weights, seed: int, place: Place) -> dict[str, Any]:
    """The coefficient, sampled and by Laplace's method, on contexts of new tasks."""
    found = data.contexts(LLC_CONTEXTS, None, torch.Generator().manual_seed(50_000))
    tokens = data.tokens(found)
    curved = laplace.coefficient(coefficient.eigenvalues(weights, tokens), SETTINGS.nbeta, SETTINGS.localization)
    return coefficient.sampled(weights.to(place.device), tokens.to(place.device), seed) | {"laplace": round(curved, 3)}


def _rounded(value: Any, digits: int = 5) -> Any:
    """Lists and dictionaries of numbers, rounded, which keeps the file small."""
    if isinstance(value, dict):
        return {name: _rounded(one, digits) for name, one in value.items()}
    return [_rounded(one, digits) for one in value] if isinstance(value, list) else round(value, digits)
