"""Heads of the last layer, where induction heads are, and how their rLLCs grow from the training text to code: the log
of rLLC(code) / rLLC(training text), at the last checkpoint.

Heads of a layer are sampled on the same minibatches, so that the error of a difference of two heads, taken as if theirs
were independent, is rather too large than too small.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ablations.not_measurable import NotMeasurable
from experiments.measurements.variants import CODE, MAIN, VALUE, Quantity
from experiments.results.cells import Cells
from experiments.study import labelled_heads
from experiments.study.study import Study

ERRORS = {"value": "se", "noise_value": "noise_se"}  # of quantities
ON_CODE = (MAIN, CODE)


class LastLayer(NamedTuple):
    """The heads of the last layer of a run."""

    run: str
    names: list[str]
    induction: Bool[np.ndarray, " head"]  # whether it has the label
    prefix_matching: Float[np.ndarray, " head"]


class LogRatios(NamedTuple):
    """log rLLC(code) / rLLC(training text) of each head of a layer, and its standard error; NaN for a head of which one
    is not above 0.
    """

    value: Float[np.ndarray, " head"]
    se: Float[np.ndarray, " head"]


def of_run(study: Study, cells: Cells) -> LastLayer:
    """The heads of the last layer of a run, as they are at the end."""
    types = study.types(cells)
    own = f"L{cells.run.config['model']['n_layers'] - 1}H"
    here = types.isel(restriction=np.flatnonzero([name.startswith(own) for name in types.restriction.values.tolist()]))
    induction = labelled_heads.labelled(here, "induction")
    return LastLayer(cells.run.name, here.restriction.values.tolist(), induction, here.prefix_matching.values)


def induction_pair(layer: LastLayer) -> tuple[int, int] | None:
    """The two induction heads with the highest prefix matching, by their places in the layer; None without two."""
    heads = np.flatnonzero(layer.induction)
    if len(heads) < 2:
        return None
    first, second = heads[np.argsort(-layer.prefix_matching[heads], kind="stable")][:2].tolist()
    return first, second


def described(layers: Iterable[LastLayer]) -> str:
    """Which heads are induction heads, in words."""
    named = ((layer.run, np.array(layer.names)[layer.induction].tolist()) for layer in layers)
    return "; ".join(f"{run} has {', '.join(heads) or 'no induction head'}" for run, heads in named)


def ways_of(way: str = "") -> tuple[str, str]:
    """The ways in which training text and code are measured, for another way of measuring."""
    return (way, f"{CODE}, {way}") if way else ON_CODE


def log_ratios(study: Study, cells: Cells, layer: LastLayer, way: str = "", quantity: Quantity = VALUE) -> LogRatios:
    """The log ratios of the layer's heads in a way of measuring (default: the plan's own).

    Raises NotMeasurable where an induction head has none.
    """
    (before, before_se), (after, after_se) = (
        (table[quantity].values, table[ERRORS[quantity]].values)
        for table in (study.rllc(cells, one).isel(step=-1).sel(restriction=layer.names) for one in ways_of(way))
    )
    known = (before > 0) & (after > 0)
    if lacking := np.array(layer.names)[layer.induction & ~known].tolist():
        raise NotMeasurable(f"{quantity} of {', '.join(lacking)} of {layer.run} is not above 0: it has no logarithm")
    before, after = np.where(known, before, np.nan), np.where(known, after, np.nan)
    return LogRatios(np.log(after / before), np.hypot(before_se / before, after_se / after))
