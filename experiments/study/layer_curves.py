"""Mean learning coefficients of the two layers over training, as runs share their checkpoints, and the checkpoint from
which changes are read.

Of each layer these are the heads that are active at the end, but for previous-token heads: those of layer 0 serve the
induction heads of layer 1 to the end, and so have nothing to hand over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int64

from ablations.not_measurable import NotMeasurable
from experiments.measurements.variants import VALUE, Quantity
from experiments.study import labelled_heads

LEFT_OUT = ("inactive", "previous-token")  # labels
Heads = tuple[list[str], list[str]]  # of layer 0 and of layer 1


@dataclass(frozen=True)
class LayerCurves:
    """Means of the layers of several runs, at the checkpoints that all have."""

    steps: Int64[np.ndarray, " step"]
    means: Mapping[str, Float[np.ndarray, "layer step"]]  # by run
    second: Mapping[str, int]  # the step at which each run's second stage begins

    def reference(self, run: str) -> int:
        """The checkpoint from which a run's changes are read, as its place among the steps.

        It is where the mean of the *other* runs' layer 0 peaks, once the second stage has begun in all of these: so
        chance that makes a peak in this run has no part in it. Runs share the others, though, and so their changes are
        a little alike: where curves are noise alone, a test at 5% passes in 6% (slow noise) to 9% (independent at each
        checkpoint). Raises NotMeasurable without another run.
        """
        others = [name for name in self.means if name != run]
        if not others:
            raise NotMeasurable(f"{run} is the only run that verdicts come from: others say where layer 0 peaks")
        after = self.steps >= max(self.second[name] for name in others)
        mean = np.mean([self.means[name][0] for name in others], axis=0)
        return int(np.argmax(np.where(after, mean, -np.inf)))

    def shuffled(self, seed: int) -> "LayerCurves":
        """The same with the checkpoints of each run's second stage in a random order, the same for both layers."""
        generator, moved = np.random.default_rng(seed), {}
        for run, means in self.means.items():
            late = np.flatnonzero(self.steps >= self.second[run])
            moved[run] = means.copy()
            moved[run][:, late] = means[:, generator.permutation(late)]
        return LayerCurves(self.steps, moved, self.second)


def heads_of(types: xr.Dataset) -> Heads:
    """The heads of layer 0 and of layer 1 that are looked at."""
    kept = ~np.logical_or.reduce([labelled_heads.labelled(types, label) for label in LEFT_OUT])
    names: list[str] = types.restriction.values[kept].tolist()
    first, second = ([name for name in names if name.startswith(f"L{layer}H")] for layer in (0, 1))
    return first, second


def means(
    tables: Mapping[str, xr.Dataset],
    heads: Mapping[str, Heads],
    steps: Int64[np.ndarray, " step"],
    quantity: Quantity = VALUE,
) -> dict[str, Float[np.ndarray, "layer step"]]:
    """The means of each run's layers at these steps, of its table of learning coefficients [step, restriction]."""
    found = {}
    for run, table in tables.items():
        layers = (table[quantity].sel(step=steps, restriction=names) for names in heads[run])
        found[run] = np.stack([layer.mean("restriction").values for layer in layers])
    return found


def shared_steps(tables: Sequence[xr.Dataset]) -> Int64[np.ndarray, " step"]:
    """The steps that all tables have; raises NotMeasurable where the last of one is not among them."""
    shared = sorted(set.intersection(*(set(table.step.values.tolist()) for table in tables)))
    if not shared or any(table.step.values[-1] != shared[-1] for table in tables):
        raise NotMeasurable("these runs do not end at the same checkpoint: their curves cannot be taken together")
    return np.array(shared, dtype=np.int64)
