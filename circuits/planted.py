"""Models with hand-set weights whose circuit is known, to hold every measure of circuits against.

Weights are written in features: orthonormal directions of the residual stream, orthogonal to the ones vector. Tokens,
and what heads write, have the same norm at every position, so the layer norms that heads read through divide by a
constant, and a plant is the same with and without them. Positions are a shortformer's. Heads attend hard; where nothing
fits, to BOS. In each layer one more head, a decoy, attends like a part of a circuit and writes what nothing reads.

Every plant is made by a function of

    layer_norm  whether the model has layer norms
    noise       the standard deviation of Gaussian noise on every weight, in units of the root mean square of its kind
    seed        of the noise and of the prompts
    removed     leaves the circuit's heads out and only their noise in, as a negative control

and raises ValueError for a negative noise. The heads stand in `planted_heads`, the prompts in `planted_prompts`.
"""

from collections.abc import Callable
from typing import NamedTuple

from ablations.models import Model
from ablations.names import Head
from ablations.paths import OUTPUT, Path
from circuits import planted_heads as heads
from circuits import planted_prompts as prompts
from circuits.planted_layout import BOS, CONTEXT, PREVIOUS, VOCABULARY
from circuits.planted_model import build
from circuits.tasks import Task

__all__ = [
    "BOS",
    "CONTEXT",
    "PLANTS",
    "VOCABULARY",
    "Plant",
    "brackets",
    "induction",
    "redundant",
    "shared",
    "skip_trigram",
]


class Plant(NamedTuple):
    """A model, what its heads are, and for each task the edges that carry it."""

    name: str
    model: Model
    types: dict[Head, str]
    tasks: tuple[Task, ...]
    edges: tuple[frozenset[Path], ...]  # by task
    redundant: frozenset[Path] = frozenset()  # edges of which any one can be cut without loss


def induction(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """A previous-token head (L0H1) whose output an induction head (L1H2) reads as keys.

    Example:

        >>> from circuits import planted, tasks
        >>> plant = planted.induction()
        >>> sorted(plant.types.items())
        [((0, 1), 'previous-token'), ((1, 2), 'induction')]
        >>> tasks.accuracy(plant.tasks[0], plant.model(plant.tasks[0].clean))
        1.0
    """
    written = {(0, 1): heads.previous_token(PREVIOUS), (1, 2): heads.induction()}
    edges = frozenset({Path("embed", (0, 1), "v"), Path((0, 1), (1, 2), "k"), Path((1, 2), OUTPUT)})
    types = {(0, 1): "previous-token", (1, 2): "induction"}
    model = build(written, layer_norm, noise, seed, removed)
    return Plant("induction", model, types, (prompts.repeats(seed),), (edges,))


def redundant(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """An induction circuit with two previous-token heads (L0H1, L0H3), each of which is enough."""
    written = {
        (0, 1): heads.previous_token(PREVIOUS),
        (0, 3): heads.previous_token(PREVIOUS),
        (1, 2): heads.induction(),
    }
    types = {(0, 1): "previous-token", (0, 3): "previous-token", (1, 2): "induction"}
    either = [Path("embed", (0, head), "v") for head in (1, 3)] + [Path((0, head), (1, 2), "k") for head in (1, 3)]
    model = build(written, layer_norm, noise, seed, removed)
    edges = frozenset({*either, Path((1, 2), OUTPUT)})
    return Plant("redundant", model, types, (prompts.repeats(seed),), (edges,), frozenset(either))


def skip_trigram(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """One head (L0H2) that says c after "a ... b", for eight triples."""
    model = build({(0, 2): heads.skip_trigram()}, layer_norm, noise, seed, removed)
    edges = frozenset({Path("embed", (0, 2), "k"), Path("embed", (0, 2), "v"), Path((0, 2), OUTPUT)})
    return Plant("skip_trigram", model, {(0, 2): "multigram"}, (prompts.skips(seed),), (edges,))


def brackets(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """L0H0 attends to the last quote and writes inside or outside; L1H1 attends to the latest opener with its own flag
    and says its closer. Nothing is counted.
    """
    model = build({(0, 0): heads.flag(), (1, 1): heads.closer()}, layer_norm, noise, seed, removed)
    read = {
        Path("embed", (0, 0), "k"),
        Path("embed", (0, 0), "v"),
        Path((0, 0), (1, 1), "q"),
        Path((0, 0), (1, 1), "k"),
    }
    edges = frozenset({*read, Path((1, 1), OUTPUT)})
    return Plant("brackets", model, {(0, 0): "mixed", (1, 1): "bracket"}, (prompts.nested(seed),), (edges,))


def shared(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """The previous-token head (L0H1) feeds the induction head (L1H2) through keys, and through values a head (L1H0)
    that says what follows the last token but one.
    """
    written = {(0, 1): heads.previous_token(PREVIOUS), (1, 2): heads.induction(), (1, 0): heads.after_previous()}
    types = {(0, 1): "previous-token", (1, 2): "induction", (1, 0): "multigram"}
    read = Path("embed", (0, 1), "v")
    first = frozenset({read, Path((0, 1), (1, 2), "k"), Path((1, 2), OUTPUT)})
    second = frozenset({read, Path((0, 1), (1, 0), "v"), Path((1, 0), OUTPUT)})
    model = build(written, layer_norm, noise, seed, removed)
    return Plant("shared", model, types, (prompts.repeats(seed), prompts.gapped(seed)), (first, second))


PLANTS: tuple[Callable[..., Plant], ...] = (induction, redundant, skip_trigram, brackets, shared)
