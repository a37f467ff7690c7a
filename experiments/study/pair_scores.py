"""The composition scores of all pairs of a layer-0 and a layer-1 head of a run, early and late; some pairs in them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.measurements.composition import COMPOSITION
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.study.two_layers import need_two_layers

Pairs = dict[str, list[tuple[str, str]]]  # of each run: a head of layer 0, a head of layer 1


class Scores(NamedTuple):
    """The composition scores of one run, minus what random matrices give."""

    run: str
    first: list[str]  # heads of layer 0, which write
    second: list[str]  # heads of layer 1, which read
    vias: list[str]
    early: Float[np.ndarray, "first second via"]
    late: Float[np.ndarray, "first second via"]
    untrained: Float[np.ndarray, "first second via"] | None = None  # of step 0, where the run has it


def scores_of(cells: Cells) -> Scores:
    """The scores of all pairs of a layer-0 and a layer-1 head; raises NotMeasurable for a run with one layer."""
    need_two_layers(cells)
    table = cells.table(COMPOSITION)
    above = table.composition - table.baseline
    names = [str(name) for name in table.source.values]
    first, second = ([name for name in names if name.startswith(f"L{layer}H")] for layer in (0, 1))

    def at(step: int) -> np.ndarray:
        scores: xr.DataArray = above.sel(step=step, source=first, target=second)
        return scores.transpose("source", "target", "via").values

    steps = cells.run.steps
    untrained = at(0) if 0 in steps else None
    return Scores(
        cells.run.name, first, second, table.via.values.tolist(), at(middle_step(cells.run)), at(steps[-1]), untrained
    )


def plain_change(scores: Scores, pairs: Sequence[tuple[str, str]], via: int) -> float:
    """The mean change of the pairs' score through an input, minus that of all pairs of the run."""
    change = (scores.late - scores.early)[:, :, via]
    return float(change[places(scores, pairs)].mean() - change.mean())


def places(scores: Scores, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Where the pairs' heads stand; raises ValueError for a pair that is none of a layer-0 and a layer-1 head."""
    for first, second in pairs:
        if first not in scores.first or second not in scores.second:
            raise ValueError(f"{first} and {second} of {scores.run}: a pair is a layer-0 head and a layer-1 head")
    numbers = [(scores.first.index(first), scores.second.index(second)) for first, second in sorted(set(pairs))]
    return tuple(np.array(numbers).T)


def others(runs: list[Scores], pairs: Pairs) -> Pairs:
    """Draws as many pairs that are not in the list."""
    generator, drawn = np.random.default_rng(1), {}
    for scores in runs:
        all_pairs = [(first, second) for first in scores.first for second in scores.second]
        free = [pair for pair in all_pairs if pair not in pairs[scores.run]]
        size = min(len(set(pairs[scores.run])), len(free))
        drawn[scores.run] = [free[place] for place in generator.choice(len(free), size, replace=False)]
    return drawn
