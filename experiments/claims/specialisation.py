"""Claim 5: on code, induction heads' rLLCs rise against the rest of their layer, and the induction heads part.

a is here, b and c in `induction_pairs`. All are of the last layer at the last checkpoint; induction heads are those
that have this label.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from experiments.claims import induction_pairs
from experiments.measurements.variants import NOISE, SURVIVAL, VALUE, Quantity
from experiments.study import last_layer, over_seeds
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Finding, Interest

RISE = Claim(
    number=5,
    name="specialisation: rise",
    statement="on code, induction heads' rLLCs rise against the rest of their layer",
    precondition="an induction head in the last layer",
    criterion="their log of rLLC(code) / rLLC(training text) minus the others' above 0, p < 0.05",
    figure="induction-rllcs",
    part="a",
)
INTEREST = Interest(0.1, "in log ratio")
Ratios = Float[np.ndarray, " head"]
Marks = Bool[np.ndarray, " head"]


def find_rise(study: Study) -> Finding:
    """How much more the induction heads' coefficients grow from the training text to code, over seeds."""
    layers = {cells.run.name: last_layer.of_run(study, cells) for cells in study.judged}
    used = [cells for cells in study.judged if 0 < layers[cells.run.name].induction.mean() < 1]

    def ratios(way: str = "", quantity: Quantity = VALUE) -> dict[str, Ratios]:
        of_runs = ((cells, layers[cells.run.name]) for cells in used)
        return {layer.run: last_layer.log_ratios(study, cells, layer, way, quantity).value for cells, layer in of_runs}

    def by_seed(way: str = "", quantity: Quantity = VALUE) -> dict[str, float]:
        return {run: rise(values, layers[run].induction) for run, values in ratios(way, quantity).items()}

    found, marks = ratios(), {run: layer.induction for run, layer in layers.items()}
    heads = last_layer.described(layers.values())
    return over_seeds.finding(
        RISE,
        by_seed(),
        statistic="log of rLLC(code) / rLLC(training text), induction heads' mean minus that of the layer's others",
        interest=INTEREST,
        controls=[control(found, marks)],
        noise=by_seed(quantity=NOISE),
        survives=survival(SURVIVAL, lambda way: over_seeds.holds(by_seed(way))),
        details={"log ratios": {run: dict(zip(layers[run].names, own, strict=True)) for run, own in found.items()}},
        remarks=[heads],
        untestable=[] if used else [f"no layer has an induction head and others: {heads}"],
    )


def rise(ratios: Ratios, chosen: Marks) -> float:
    """The mean of the chosen heads minus that of all others; heads without a ratio (NaN) are left out."""
    return float(np.nanmean(ratios[chosen]) - np.nanmean(ratios[~chosen]))


def control(ratios: dict[str, Ratios], induction: dict[str, Marks]) -> over_seeds.Control:
    """The same of as many heads of the layer, drawn at random from those that are no induction heads."""

    def draw(seed: int) -> dict[str, float]:
        generator, found = np.random.default_rng(seed), {}
        for run, values in ratios.items():
            others = values[~induction[run] & np.isfinite(values)]
            count = min(int(induction[run].sum()), len(others) - 1)
            if count > 0:
                found[run] = rise(others, generator.permutation(np.arange(len(others)) < count))
        return found

    return over_seeds.middle_control("other heads of the layer in place of the induction heads", draw)


FINDERS: dict[Claim, Callable[[Study], Finding]] = {RISE: find_rise, **induction_pairs.FINDERS}
