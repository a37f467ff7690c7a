"""Cases against controls that are like them: nearest neighbours, regression adjustment, and errors by document."""

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.spatial import KDTree

from ablations.not_measurable import NotMeasurable

LIKE = 5  # controls that stand beside each case


def matched(
    case: Bool[np.ndarray, " unit"], like: Float[np.ndarray, "unit covariate"], inside: Bool[np.ndarray, " unit"]
) -> Float[np.ndarray, " unit"]:
    """Weights of a difference of means: 1 over all cases inside, -1 over the nearest of the others.

    Each case has `LIKE` controls, the nearest in standardised coordinates; one control may serve several. Raises
    NotMeasurable where there are no cases or no controls inside.
    """
    cases, controls = np.flatnonzero(case & inside), np.flatnonzero(~case & inside)
    if not len(cases) or not len(controls):
        raise NotMeasurable(f"{len(cases)} cases and {len(controls)} controls: matching needs some of both")
    spread = like[inside].std(0)
    scaled = like / np.where(spread > 0, spread, 1)
    _, nearest = KDTree(scaled[controls]).query(scaled[cases], k=min(LIKE, len(controls)))
    weights = -np.bincount(controls[nearest.ravel()], minlength=len(case)) / nearest.size
    weights[cases] = 1 / len(cases)
    return weights


def adjusted(
    values: Float[np.ndarray, "value unit"],
    weights: Float[np.ndarray, " unit"],
    like: Float[np.ndarray, "unit covariate"],
) -> Float[np.ndarray, "value unit"]:
    """Values less their linear dependence, among the controls, on what is matched on.

    The nearest controls lie on the side where most controls are; this removes what that does (Abadie and Imbens 2011).
    """
    controls = weights < 0
    centred = like - like[controls].mean(0)
    design = np.column_stack([np.ones(controls.sum()), centred[controls]]) * np.sqrt(-weights[controls])[:, None]
    slopes = np.linalg.lstsq(design, (values[:, controls] * np.sqrt(-weights[controls])).T, rcond=None)[0][1:]
    return values - (centred @ slopes).T


def through_slopes(
    weights: Float[np.ndarray, " unit"], like: Float[np.ndarray, "unit covariate"]
) -> Float[np.ndarray, " unit"]:
    """How much each unit's value moves the contrast of `adjusted` values by the slopes, which it has a part in."""
    controls, moves = weights < 0, np.zeros(len(weights))
    centred, root = like - like[controls].mean(0), np.sqrt(-weights[controls])
    slopes = np.linalg.pinv(np.column_stack([np.ones(controls.sum()), centred[controls]]) * root[:, None])[1:]
    moves[controls] = -((weights @ centred) @ slopes) * root
    return moves


def contrast(
    weights: Float[np.ndarray, " unit"],
    values: Float[np.ndarray, " unit"],
    document: Int64[np.ndarray, " unit"],
    slopes: Float[np.ndarray, " unit"] | float = 0.0,
) -> tuple[float, dict[int, float]]:
    """The difference of the two weighted means, and each document's influence on it (the matching taken as given).

    slopes: what `through_slopes` says, where the values are adjusted.
    """
    around = values - np.where(weights > 0, weights.clip(0) @ values, (-weights).clip(0) @ values)
    used = weights != 0
    documents, index = np.unique(document[used], return_inverse=True)
    influence = np.bincount(index, weights=((weights + slopes) * around)[used])
    return float(weights @ values), dict(zip(documents.tolist(), influence.tolist(), strict=True))
