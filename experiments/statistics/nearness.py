"""How near places of one kind lie to places of another, in log(step + 1)."""

import numpy as np
from jaxtyping import Float, Int, Real

from experiments.statistics.onsets import log_time


def distance(these: Real[np.ndarray, " step"], those: Real[np.ndarray, " other"]) -> float:
    """The mean distance from a step of either kind to the nearest of the other, each kind with half the weight.

    Symmetric: a kind with many steps lies near everything on one side, and pays for it on the other. NaN without steps
    of either kind.
    """
    if not len(these) or not len(those):
        return float("nan")
    apart = np.abs(np.log1p(these)[:, None] - np.log1p(those)[None])
    return float((apart.min(0).mean() + apart.min(1).mean()) / 2)


def drawn_checkpoints(
    steps: Real[np.ndarray, " checkpoint"], count: int, *, draws: int, seed: int = 0
) -> list[Int[np.ndarray, " step"]]:
    """Sets of as many different checkpoints, none of them the first or the last, drawn at random.

    Raises ValueError for steps that do not increase, and for more than there are.
    """
    log_time(steps)  # which refuses steps that do not increase
    inner = steps[1:-1]
    if not 1 <= count <= len(inner):
        raise ValueError(f"count={count}: {len(inner)} checkpoints lie between the first and the last")
    generator = np.random.default_rng(seed)
    return [np.sort(generator.choice(inner, count, replace=False)) for _ in range(draws)]


def nearer(
    found: Real[np.ndarray, " step"], stages: Real[np.ndarray, " stage"], by_chance: list[Real[np.ndarray, " step"]]
) -> tuple[float, Float[np.ndarray, " draw"]]:
    """The distance of what was found from the stages, and that of each draw."""
    return distance(found, stages), np.array([distance(one, stages) for one in by_chance])
