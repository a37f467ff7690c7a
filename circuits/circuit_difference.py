"""How two circuits of one task differ: paths gained, lost and changed, each with the interval of the difference.

The two are of two checkpoints, or of two runs. That a path is found in one and not in the other does not say that they
differ: its effect may lie just on either side of a threshold (Gelman and Stern 2006). So the difference of the effects
is tested by itself, at a false-discovery rate over all paths that are compared (Benjamini and Hochberg 1995), and a
path is

    gained, lost    found in one alone, and its effect differs (and is the larger where it is found)
    changed         found in both, and its effect differs
    kept            found in both, and no difference is seen
    undecided       found in one alone, and no difference is seen
    (nothing)       found in neither

The test is over prompts: it says that the mean effect on such prompts is another one, which it nearly always is between
two runs, and with enough prompts any difference shows. How large it is, the interval tells.

Between models whose heads are matched (`head_matching`) a path is compared with its counterpart, which goes between the
partners of its heads. A path is moved where it is lost by its name, its counterpart under another name is gained, and
both are found when compared with each other.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from ablations.names import Head
from ablations.paths import path_name
from circuits.discover import significant
from circuits.discover_paths import Effects
from circuits.head_matching import renamed

RATE = 0.05
ROUNDING = 1e-5  # of the metric's size (of 1, where it is smaller): differences below it are none


def difference(
    first: Effects,
    second: Effects,
    partner: Mapping[Head, Head] | None = None,
    *,
    paired: bool,
    rate: float = RATE,
) -> xr.Dataset:
    """Compares the exact effects of the same paths in two models.

    Arguments:

        first, second  exact effects, as `discover.path_effects` gives them, of the same paths (in any order)
        partner        for each head of the first model its partner in the second; by name, where it is not given
        paired         whether both are of the same prompts in the same order: differences are then taken prompt by
                       prompt; else the two means have errors of their own (Welch 1947)
        rate           the false-discovery rate at which paths are found in each, and at which differences are

    The result has, by path of the first model: counterpart (the path of the second), first, second (mean effects),
    found_first, found_second, difference (second - first, in the metric's units; negative: the path carries more in the
    second), difference_se, difference_half (half the width of its 95% interval over prompts, by Student's t), p, q (p
    adjusted) and change, one of the words above.

    Raises ValueError for other paths, for prompts that cannot be paired, and for effects without p-values.
    """
    if paired and first.effect.shape[1] != second.effect.shape[1]:
        raise ValueError(
            f"{first.effect.shape[1]} and {second.effect.shape[1]} prompts cannot be paired: give paired=False"
        )
    theirs = {path: number for number, path in enumerate(second.paths)}
    counterparts = [renamed(path, partner) if partner else path for path in first.paths]
    if set(counterparts) != set(theirs):
        raise ValueError("the two were not measured on the same paths: give effects of all candidates of both")
    at = [theirs[path] for path in counterparts]
    found = significant(first.p, rate), significant(second.p, rate)[at]
    one, other = first.effect, second.effect[at]
    apart, se, degrees = _apart(one, other, paired)
    p = _p(apart, se, degrees, ROUNDING * max(1.0, float(abs(first.clean).mean()), float(abs(second.clean).mean())))
    q = stats.false_discovery_control(p)
    columns = {
        "counterpart": [path_name(path) for path in counterparts],
        **{"first": one.mean(1), "second": other.mean(1), "found_first": found[0], "found_second": found[1]},
        **{"difference": apart, "difference_se": se, "difference_half": stats.t.ppf(0.975, degrees) * se},
        **{"p": p, "q": q},
    }
    table = xr.Dataset({name: ("path", values) for name, values in columns.items()})
    table = table.assign_coords(path=[path_name(path) for path in first.paths])
    return table.assign(change=("path", _words(table, q <= rate))).assign_attrs(paired=paired, rate=rate)


def _apart(
    first: Float[np.ndarray, "path prompt"], second: Float[np.ndarray, "path other"], paired: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The differences of the means, their standard errors and the degrees of freedom of these, by path."""
    if paired:
        each, size = second - first, first.shape[1]
        return each.mean(1), each.std(1, ddof=1) / size**0.5, np.full(len(each), size - 1.0)
    parts = [values.var(1, ddof=1) / values.shape[1] for values in (first, second)]
    whole = parts[0] + parts[1]
    lost = sum(part**2 / (values.shape[1] - 1) for part, values in zip(parts, (first, second), strict=True))
    fewest = float(min(first.shape[1], second.shape[1]) - 1)
    degrees = np.divide(whole**2, lost, out=np.full(len(whole), fewest), where=lost > 0)
    return second.mean(1) - first.mean(1), np.sqrt(whole), degrees


def _p(apart: np.ndarray, se: np.ndarray, degrees: np.ndarray, least: float) -> np.ndarray:
    """Two-sided p by Student's t; 1 where the difference is of the size of rounding."""
    t = np.divide(abs(apart), se, out=np.full(len(apart), np.inf), where=se > 0)
    return np.where(abs(apart) > least, 2 * stats.t.sf(t, degrees), 1.0)


def _words(table: xr.Dataset, differs: np.ndarray) -> list[str]:
    """What became of each path."""
    was, now = table.found_first.values, table.found_second.values
    larger = abs(table.second.values) > abs(table.first.values)
    words = np.full(len(was), "", dtype=object)
    words[was != now] = "undecided"
    words[was & ~now & differs & ~larger] = "lost"
    words[~was & now & differs & larger] = "gained"
    words[was & now] = np.where(differs, "changed", "kept")[was & now]
    return words.tolist()


def moved(by_name: xr.Dataset, matched: xr.Dataset) -> xr.Dataset:
    """The rows of the `matched` comparison whose path is lost and whose counterpart is gained in the one `by_name`."""
    words = dict(zip(by_name.path.values.tolist(), by_name.change.values.tolist(), strict=True))
    pairs = zip(matched.path.values.tolist(), matched.counterpart.values.tolist(), strict=True)
    both = (matched.found_first & matched.found_second).values
    kept = [words[path] == "lost" and words[other] == "gained" for path, other in pairs]
    return matched.isel(path=np.flatnonzero(both & np.array(kept)))
