"""What of a path's effect its target reads, and what goes through the scale of the target's layer norm.

A layer norm divides all that it is given by one scale. A head that writes much where nothing reads makes this scale
larger, and everything else that the target reads smaller: patching its path then has an effect, on all prompts alike,
although no weight reads what it writes. With the scale frozen at the clean run's, what is left of the effect is read:

    read = effect with the target's norm frozen,    scale = effect - read
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ablations.paths import path_name
from circuits.discover_paths import Effects

READ_AT_LEAST = 0.1  # of a path's effect; where less is read, it acts through the norm's scale
COLUMNS = ("read", "read_se", "scale", "scale_se")


def with_parts(table: xr.Dataset, effects: Effects, frozen: Effects | None) -> xr.Dataset:
    """A table of `circuits.graph.table` with read, scale (means over prompts, in the units of effects), read_se and
    scale_se [path]; NaN for paths that are not among the frozen ones.

    effects, frozen: of the same prompts, the norms recomputed and frozen; None where no path was found. Raises
    ValueError for a frozen effect of a path that is not in the table.
    """
    numbers = {path: number for number, path in enumerate(effects.paths)}
    paths = frozen.paths if frozen else ()
    if unknown := [path for path in paths if path not in numbers]:
        raise ValueError(
            f"{path_name(unknown[0])} is not in the table: give frozen effects of paths that were measured"
        )
    at, whole = [numbers[path] for path in paths], effects.effect
    columns = {name: np.full(len(whole), np.nan) for name in COLUMNS}
    parts = {"read": frozen.effect, "scale": whole[at] - frozen.effect} if frozen else {}
    for name, part in parts.items():
        columns[name][at] = part.mean(1)
        columns[f"{name}_se"][at] = part.std(1, ddof=1) / part.shape[1] ** 0.5
    return table.assign({name: ("path", values) for name, values in columns.items()})


def through_scale(record: Mapping[str, Any]) -> bool:
    """Whether less than a tenth of a path's effect is read; False where that was not measured."""
    return bool(abs(record.get("read", np.nan)) < READ_AT_LEAST * abs(record["effect"]))
