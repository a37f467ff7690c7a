"""The checkpoints that show how a circuit formed: those where what is drawn of it is least like what is shown."""

import numpy as np
import xarray as xr
from jaxtyping import Float


def telling(drawn: Float[np.ndarray, "step path"], most: int) -> list[int]:
    """Places of at most `most` checkpoints (2 or more): the first, the last, and one after another those that have
    changed most.

    drawn: what is drawn of each path at each of the checkpoints in order, 0 where it is not drawn. Each time the
    checkpoint is added that differs most, by the sum over paths of absolute differences, from whichever of those
    chosen it is most like (of equal ones the earlier): the farthest-first traversal of Gonzalez (1985, Theoretical
    Computer Science 38). What differs from none adds nothing, so that there may be fewer. Raises ValueError for less
    than 2.
    """
    if most < 2:
        raise ValueError(f"{most} checkpoints: the first and the last are always among them, take 2 or more")
    chosen = {0, len(drawn) - 1}
    unlike = np.min([_differences(drawn, place) for place in chosen], axis=0)
    while len(chosen) < most and unlike.max() > 0:
        place = int(np.argmax(unlike))
        chosen.add(place)
        unlike = np.minimum(unlike, _differences(drawn, place))
    return sorted(chosen)


def drawn_effects(measured: xr.Dataset) -> Float[np.ndarray, "step path"]:
    """The effects of the paths that were found, 0 for all others: what a picture draws of a table [step, path]."""
    return measured.effect.where(measured.found, 0.0).transpose("step", "path").values.astype(float)


def _differences(drawn: Float[np.ndarray, "step path"], place: int) -> Float[np.ndarray, " step"]:
    """How much every checkpoint differs from one of them."""
    return np.abs(drawn - drawn[place]).sum(1)
