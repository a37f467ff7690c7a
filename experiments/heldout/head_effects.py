"""What removing a head costs: one number for every place that shows it, and in words what it is a mean over.

The effect of a head is the loss without it minus the loss with it, in nats per token. Without it: mean ablation, its z
being replaced by its mean over the plan's reference rows, everything after it recomputed. Per token: the mean over all
predicted tokens but BOS of the held-out text that types rest on (`head_types.pass_of_types`: the first 500,000 after
the rows that the plan sets apart), with an error clustered by document. It is the `effect` of the table of types.
"""

import numpy as np
import xarray as xr

from ablations import effects
from ablations.effects import Estimate
from experiments.heldout import ablation_pass, head_types
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.head_types import ENDS
from experiments.results.cells import Cells

NAME = "loss rise under mean ablation, nats per token"
DIRECT = "loss rise without its direct path to the output, nats per token"


def population(measured: xr.Dataset) -> str:
    """What effects are a mean over, of a table of types or of the means of a pass."""
    return f"all {measured.attrs['tokens']} predicted tokens of {measured.attrs['documents']} held-out documents"


def graph_words(measured: xr.Dataset) -> str:
    """What the effects of a graph's heads are, for whoever reads its file."""
    return f"{NAME}: mean over {population(measured)}"


def of_heads(measured: xr.Dataset) -> dict[str, Estimate]:
    """The effects by head, of a table of types or of the means of a pass in which every head is removed by itself."""
    names = measured["restriction" if "restriction" in measured.dims else "change"].values.tolist()
    parts = zip(*(measured[f"effect{end}"].values.tolist() for end in ENDS), strict=True)
    return {name: Estimate(*part) for name, part in zip(names, parts, strict=True)}


def known_or_short(cells: Cells, step: int, short: AblationPass) -> xr.Dataset:
    """The table of types where it is known; else the means of a pass over less text, as its attributes say."""
    stored = head_types.known(cells, head_types.pass_of_types(cells, step))
    return ablation_pass.means(cells, short) if stored is None else stored


def difference(cells: Cells, short: AblationPass, heads: tuple[str, str], pair: tuple[Estimate, Estimate]) -> Estimate:
    """The difference of two heads' effects, which are of the same text and so not independent.

    Its error takes how the two effects go together over the documents of a shorter pass: the correlation of what
    the documents pull the two means by, which the table of types does not hold.
    """
    (first, one, degrees), (second, other, _) = pair
    together = correlation(cells, short, *heads)
    return Estimate(first - second, max(0.0, one**2 + other**2 - 2 * together * one * other) ** 0.5, degrees)


def correlation(cells: Cells, ablation: AblationPass, first: str, second: str) -> float:
    """How the effects of two changes go together over documents: the correlation of the errors of their means, -1 to 1.

    That of what each document pulls the two means by (`effects.pulls`), from which their jackknife errors are made.
    """
    pulled = effects.pulls(ablation_pass.sums(cells, ablation))
    a, b = pulled[[ablation.what.index(first), ablation.what.index(second)]]
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))
