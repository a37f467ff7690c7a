"""Claims 5b and 5c: two induction heads of a seed come to do different things on code.

Both hold a pair of heads against all other pairs of the layer: the two induction heads (those with the highest prefix
matching where there are more), by how far apart they are. b: in the log of rLLC(code) / rLLC(training text), which is
how far they have parted from one text to the other. c: in the share of syntax tokens among the tokens of code that they
affect most.

A distance is never below 0, so that errors alone make one. In b what they add is taken out: with errors of variances u
and v the square of a difference is on average u + v larger than that of the true one, so the distance is the root of
the square less u + v, and minus that root where the square is smaller than its errors. In c the shares are of as many
tokens for every head, and what sampling adds is about the same for all pairs.

Pairs of an induction head and another part wherever induction heads rise together; then the induction pair may part
less than others do, and the claim says that it parts more.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from ablations.not_measurable import NotMeasurable
from experiments.heldout.syntax_shares import MOST_AFFECTED
from experiments.measurements.variants import NOISE, SURVIVAL, VALUE, Quantity
from experiments.results.cells import Cells
from experiments.study import last_layer, over_seeds, settled
from experiments.study.last_layer import LastLayer, LogRatios
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Control, Finding, Interest

PARTING = Claim(
    number=5,
    name="specialisation: parting",
    statement="on code, the rLLCs of two induction heads of a seed part",
    precondition="four seeds with two induction heads; the loss is settled",
    criterion="the two part more than the layer's other pairs do, p < 0.05",
    figure="induction-rllcs",
    part="b",
)
SYNTAX = Claim(
    number=5,
    name="specialisation: syntax",
    statement="two induction heads of a seed have different shares of syntax tokens among the tokens that they affect "
    "most on code",
    precondition="four seeds with two induction heads",
    criterion="the shares differ more than those of the layer's other pairs do, p < 0.05",
    figure="induction-rllcs",
    part="c",
)
INTEREST_OF_PARTING, INTEREST_OF_SYNTAX = Interest(0.1, "in log ratio"), Interest(0.1, "in share")
SEEDS = 4  # with two induction heads
Distances = Float[np.ndarray, "head head"]
Pair = tuple[int, int]


def find_parting(study: Study) -> Finding:
    """How much farther the two induction heads part than other pairs, over seeds."""
    used, pairs, reasons = _pairs(study)

    def distances(way: str = "", quantity: Quantity = VALUE) -> dict[str, Distances]:
        of_runs = ((cells, layer) for cells, layer in used)
        return {layer.run: apart(last_layer.log_ratios(study, cells, layer, way, quantity)) for cells, layer in of_runs}

    found = distances()
    return over_seeds.finding(
        PARTING,
        by_seed(found, pairs),
        statistic="distance of the two induction heads in log of rLLC(code) / rLLC(training text), less what errors "
        "add, minus the mean of the layer's other pairs",
        interest=INTEREST_OF_PARTING,
        controls=[control(found, pairs)],
        noise=by_seed(distances(quantity=NOISE), pairs),
        survives=survival(SURVIVAL, lambda way: over_seeds.holds(by_seed(distances(way), pairs))),
        details={"distances": found, "heads": _named(used, pairs)},
        remarks=[last_layer.described([layer for _, layer in used])],
        untestable=[*reasons, *settled.untestable(study)],
    )


def find_syntax(study: Study) -> Finding:
    """How much farther the two induction heads' shares of syntax tokens are apart than other pairs', over seeds."""
    used, pairs, reasons = _pairs(study)
    tables = {layer.run: (study.syntax_shares(cells).share, layer.names) for cells, layer in used}
    shares = {run: share.sel(restriction=list(names)).values for run, (share, names) in tables.items()}
    found = {run: np.abs(own[:, None] - own) for run, own in shares.items()}
    return over_seeds.finding(
        SYNTAX,
        by_seed(found, pairs),
        statistic=f"difference of the two induction heads' shares of syntax tokens among the {MOST_AFFECTED} tokens of "
        "code that each affects most, minus the mean of the layer's other pairs",
        interest=INTEREST_OF_SYNTAX,
        controls=[control(found, pairs)],
        details={
            "shares": {layer.run: dict(zip(layer.names, shares[layer.run], strict=True)) for _, layer in used},
            "heads": _named(used, pairs),
        },
        remarks=[last_layer.described([layer for _, layer in used])],
        untestable=reasons,
    )


def _pairs(study: Study) -> tuple[list[tuple[Cells, LastLayer]], dict[str, Pair], list[str]]:
    """The judged runs that have two induction heads with their last layers, the pairs, and why there are too few.

    Raises NotMeasurable where no run has.
    """
    layers = [(cells, last_layer.of_run(study, cells)) for cells in study.judged]
    pairs = {layer.run: pair for _, layer in layers if (pair := last_layer.induction_pair(layer))}
    why = f"{len(pairs)} seeds have two induction heads in the last layer, {SEEDS} are needed"
    if not pairs:
        raise NotMeasurable(f"{why}: {last_layer.described([layer for _, layer in layers])}")
    used = [(cells, layer) for cells, layer in layers if layer.run in pairs]
    return used, pairs, [why] if len(pairs) < SEEDS else []


def apart(ratios: LogRatios) -> Distances:
    """How far apart each two heads are, less what errors add; below 0 where they are nearer than errors make them."""
    square = (ratios.value[:, None] - ratios.value) ** 2 - (ratios.se[:, None] ** 2 + ratios.se**2)
    return np.sign(square) * np.sqrt(np.abs(square))


def against_others(distances: Distances, pair: Pair) -> float:
    """The distance of a pair minus the mean of all other pairs that have one."""
    others = [distances[other] for other in other_pairs(distances, pair)]
    return float(distances[pair] - np.mean(others))


def other_pairs(distances: Distances, pair: Pair) -> list[Pair]:
    """All pairs of heads that have a distance, but this one."""
    every = zip(*(places.tolist() for places in np.triu_indices(len(distances), 1)), strict=True)
    return [other for other in every if set(other) != set(pair) and np.isfinite(distances[other])]


def by_seed(distances: dict[str, Distances], pairs: dict[str, Pair]) -> dict[str, float]:
    """The same of each run's pair."""
    return {run: against_others(distances[run], pair) for run, pair in pairs.items()}


def control(distances: dict[str, Distances], pairs: dict[str, Pair]) -> Control:
    """The same with another pair of the layer in each run, drawn at random."""

    def draw(seed: int) -> dict[str, float]:
        generator, drawn = np.random.default_rng(seed), {}
        for run, pair in pairs.items():
            others = other_pairs(distances[run], pair)
            drawn[run] = others[generator.integers(len(others))]
        return by_seed(distances, drawn)

    return over_seeds.middle_control("another pair of the layer in place of the induction heads", draw)


def _named(used: Sequence[tuple[Cells, LastLayer]], pairs: dict[str, Pair]) -> dict[str, list[str]]:
    return {layer.run: [layer.names[place] for place in pairs[layer.run]] for _, layer in used}


FINDERS: dict[Claim, Callable[[Study], Finding]] = {PARTING: find_parting, SYNTAX: find_syntax}
