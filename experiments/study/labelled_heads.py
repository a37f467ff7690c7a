"""Which heads have a label: a head may have several (`circuits.classify`), and a claim says which it asks for."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool


def labelled(types: xr.Dataset, label: str, but: Sequence[str] = ()) -> Bool[np.ndarray, " restriction"]:
    """Whether each head of a table of types has this label and none of some others."""
    sets = [set(labels.split(", ")) for labels in types.labels.values.tolist()]
    return np.array([label in labels and not labels & set(but) for labels in sets], dtype=bool)


def names(types: xr.Dataset, label: str, layer: int | None = None, but: Sequence[str] = ()) -> list[str]:
    """The names of these heads, of one layer or of all."""
    every: list[str] = types.restriction.values[labelled(types, label, but)].tolist()
    return [name for name in every if layer is None or name.startswith(f"L{layer}H")]
