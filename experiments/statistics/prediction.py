"""How well types of heads are predicted from curves of other seeds' heads."""

import numpy as np
from jaxtyping import Bool, Float, Shaped


def predicted(
    features: Float[np.ndarray, "head feature"],
    types: Shaped[np.ndarray, " head"],
    layers: Shaped[np.ndarray, " head"],
    seeds: Shaped[np.ndarray, " head"],
) -> tuple[Bool[np.ndarray, " head"], Bool[np.ndarray, " head"]]:
    """Whether each head's type is that of the nearest mean of features among the same layer's heads of other seeds.

    Returns (right, possible): possible where another seed has the type in that layer; it does not depend on features,
    and others are never right. Distances are Euclidean: scale the features first where that matters.
    """
    right, possible = np.zeros(len(types), dtype=bool), np.zeros(len(types), dtype=bool)
    for head in range(len(types)):
        known = (layers == layers[head]) & (seeds != seeds[head])
        names = np.unique(types[known])
        if types[head] in names:
            centres = np.stack([features[known & (types == name)].mean(0) for name in names])
            possible[head] = True
            right[head] = names[((centres - features[head]) ** 2).sum(1).argmin()] == types[head]
    return right, possible


def accuracies(
    features: Float[np.ndarray, "head feature"],
    types: Shaped[np.ndarray, " head"],
    layers: Shaped[np.ndarray, " head"],
    seeds: Shaped[np.ndarray, " head"],
) -> dict[str, float]:
    """The share of each seed's heads whose type is predicted from the other seeds, averaged over types.

    Each type of a seed has the same weight, so that the most frequent one does not decide. Heads whose type no other
    seed has in their layer are left out, and so is a seed without any other. What is predicted of two seeds rests on
    heads of the same others, so that accuracies of seeds are not quite independent.
    """
    right, possible = predicted(features, types, layers, seeds)
    found = {}
    for seed in dict.fromkeys(seeds[possible].tolist()):
        inside = possible & (seeds == seed)
        shares = [right[inside & (types == kind)].mean() for kind in np.unique(types[inside])]
        found[str(seed)] = float(np.mean(shares))
    return found
