"""The transformer and its training: two layers of attention with a hidden layer each, no normalisation.

    r = token E + position
    r += heads(r), then r += ReLU(r A) B          in each layer
    prediction = r . u                            at the tokens of inputs

All parameters are one vector, so that several networks are evaluated at once, as the sampler's chains are. The network
starts near zero, where it predicts 0, and learns by squared error of all predictions, on new contexts at each update.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.settings.in_context_regression import data
from experiments.settings.in_context_regression.data import EXAMPLES, WIDTH, Contexts, Tasks
from experiments.settings.training import by_adam

D, HEADS, HIDDEN, LAYERS = 32, 4, 64, 2
TOKENS = 2 * EXAMPLES - 1
LR, BATCH = 3e-3, 128
LAYER = {"query": (D, D), "key": (D, D), "value": (D, D), "out": (D, D), "reader": (D, HIDDEN), "writer": (HIDDEN, D)}
SHAPES = {"embed": (1 + WIDTH, D), "position": (TOKENS, D), "unembed": (D, 1)} | {
    f"{name}{layer}": shape for layer in range(LAYERS) for name, shape in LAYER.items()
}
SIZES = [rows * columns for rows, columns in SHAPES.values()]

Weights = Float[Tensor, " parameter"]


def outputs(
    positions: Float[Tensor, "chain parameter"], tokens: Float[Tensor, "context token entry"]
) -> Float[Tensor, "chain context example"]:
    """Predictions of several networks for the same contexts."""
    pieces = zip(SHAPES.items(), positions.split(SIZES, 1), strict=True)
    part = {name: flat.unflatten(1, shape) for (name, shape), flat in pieces}
    contexts, length = tokens.shape[:2]
    read = tokens.flatten(0, 1) @ part["embed"]  # [chain, context token, D]
    stream = (read.unflatten(1, (contexts, length)) + part["position"][:, None]).flatten(1, 2)
    for layer in range(LAYERS):
        stream = stream + _attention(stream, part, layer, contexts)
        stream = stream + (stream @ part[f"reader{layer}"]).relu() @ part[f"writer{layer}"]
    return (stream @ part["unembed"]).view(len(positions), contexts, length)[:, :, ::2]


def _attention(
    stream: Float[Tensor, "chain place D"], part: dict[str, Tensor], layer: int, contexts: int
) -> Float[Tensor, "chain place D"]:
    chains = len(stream)
    query, key, value = (
        (stream @ part[f"{name}{layer}"]).view(chains * contexts, -1, HEADS, D // HEADS).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    later = torch.ones(query.shape[2], query.shape[2], dtype=torch.bool, device=stream.device).triu(1)
    scores = (query @ key.mT / (D // HEADS) ** 0.5).masked_fill(later, -torch.inf)
    mixed = (scores.softmax(3) @ value).transpose(1, 2).reshape(stream.shape)
    return mixed @ part[f"out{layer}"]


def start(seed: int) -> Weights:
    """The parameters before training: normal, by the size of what they read; the prediction's are small."""
    generator = torch.Generator().manual_seed(seed)
    scale = {name: shape[0] ** -0.5 for name, shape in SHAPES.items()} | {"position": 0.2, "unembed": 0.02}
    drawn = [scale[name] * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()]
    return torch.cat([one.flatten() for one in drawn])


def train(known: Tasks | None, seed: int, steps: Iterable[int], *, shuffle: bool = False) -> dict[int, Weights]:
    """The parameters after these numbers of updates, the last of them the end of training.

    known: the tasks of all contexts; None: new ones. shuffle: whether labels are, as in the control.
    """
    generator = torch.Generator().manual_seed(1000 + seed)

    def drawn(weights: Tensor) -> Tensor:
        found = data.contexts(BATCH, known, generator)
        return loss(weights, data.shuffled(found, generator) if shuffle else found)

    def rate(step: int, last: int) -> float:
        return LR * min(1.0, (step + 1) / 100, 3 * (1 - step / (last + 1)))  # rises, and falls in the last third

    return by_adam(start(seed), steps, drawn, rate, clip=1.0)


def loss(weights: Weights, found: Contexts) -> Float[Tensor, ""]:
    """The mean squared error of all predictions."""
    return (outputs(weights[None], data.tokens(found))[0] - found.labels).square().mean()
