"""The mean of several runs on the same documents, with errors clustered by document and by run."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class Mean(NamedTuple):
    """A mean over runs, in the units of what it is of."""

    value: float
    se: float
    p: float  # two-sided
    critical: float  # the value at which p is 0.05


def mean_of_runs(
    values: Float[np.ndarray, " run"], errors: Sequence[float], influences: Sequence[Mapping[int, float]]
) -> Mean:
    """The mean over runs, with errors clustered two ways, by document (over all runs) and by run.

    errors: each run's standard error; influences: what each document, by its number, adds to each run's value.
    V = V_document + V_run - V_(document in run), at least V_document (Cameron, Gelbach and Miller 2011). p is two-sided
    of Student's t, with a degree of freedom for each document but one.
    """
    count = len(values)
    documents = sorted({document for influence in influences for document in influence})
    by_document = np.array([sum(each.get(document, 0.0) for each in influences) for document in documents]) / count
    variance = len(documents) / (len(documents) - 1) * (by_document**2).sum()
    if count > 1:
        within = sum(se**2 for se in errors) / count**2
        variance += max(0.0, values.var(ddof=1) / count - within)
    value, se = float(values.mean()), float(np.sqrt(variance))
    critical = float(stats.t.ppf(0.975, len(documents) - 1)) * se
    return Mean(value, se, two_sided_p(value, se, len(documents)), critical)


def two_sided_p(value: float, se: float, documents: int) -> float:
    """Student's t of a value and its error, with a degree of freedom for each document but one; 1 without an error."""
    return float(2 * stats.t.sf(abs(value) / se, documents - 1)) if se > 0 else 1.0
