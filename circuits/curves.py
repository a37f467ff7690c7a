"""How faithful circuits of growing size are when paths come in by their scores: curves, and MIB's two numbers of them.

    f(k) = (m(C_k) - m(empty)) / (m(whole) - m(empty))

is the faithfulness of the k paths with the largest scores, all others patched. Over the share of all paths, from none
to all, CPR is the area under f (large: a small circuit does the task, or more than it) and CMD the area of |1 - f|
(small: a small circuit does what the model does), by trapezoids (arXiv:2504.13151, whose curves stand at ten fixed
shares, as `mib_sizes` has them). CPR ranks by signed scores, what carries the task most first; CMD by magnitude.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from ablations.forward import Weights
from ablations.models import Config
from ablations.running import as_in_workers, tracked
from circuits.discover_paths import candidates
from circuits.patched_metric import patched_metric
from circuits.tasks import Metric, Task, logit_difference

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of all paths, as in MIB
POINTS = 16  # sizes of a curve that are evenly spaced on a log axis, unless sizes are given


class Curve(NamedTuple):
    """Faithfulness by size, the sizes growing from 0 to all paths."""

    sizes: tuple[int, ...]
    faithfulness: Float[np.ndarray, " size"]

    @property
    def shares(self) -> Float[np.ndarray, " size"]:
        """The sizes as shares of all paths."""
        return np.array(self.sizes) / self.sizes[-1]

    @property
    def cpr(self) -> float:
        """The area under the curve."""
        return float(np.trapezoid(self.faithfulness, self.shares))

    @property
    def cmd(self) -> float:
        """The area between the curve and 1."""
        return float(np.trapezoid(np.abs(1 - self.faithfulness), self.shares))


@as_in_workers()
def curve(
    weights: Weights,
    cfg: Config,
    task: Task,
    scores: Float[np.ndarray, " path"],
    metric: Metric = logit_difference,
    *,
    sizes: Sequence[int] | None = None,
) -> Curve:
    """The faithfulness of the paths with the largest scores, among all `candidates`, whose scores stand in their order.

    scores: for CPR minus the effects (`Effects.effect.mean(1)` is negative where a path carries the task), for CMD
    their magnitudes; to hold these against, numbers drawn at random, and how large what a source writes is as the
    target reads it (`circuits.attributions.magnitudes`). Equal scores come in the order of the paths. sizes: how many
    paths, besides none and all (default: `default_sizes`). Raises ValueError for another number of scores, scores that
    are not finite, and sizes that no circuit has; NotMeasurable where the model does not do the task.
    """
    every = candidates(cfg)
    if len(scores) != len(every) or not np.isfinite(scores).all():
        raise ValueError(f"{len(scores)} scores of {len(every)} paths: give a finite one for each of `candidates`")
    chosen = sorted({0, len(every), *(default_sizes(len(every)) if sizes is None else sizes)})
    if chosen[0] < 0 or chosen[-1] > len(every):
        raise ValueError(f"sizes={list(sizes or ())}: a circuit has 0 to {len(every)} paths")
    order = [every[number] for number in np.argsort(-np.asarray(scores), kind="stable")]
    share = patched_metric(weights, cfg, task, metric).share
    return Curve(tuple(chosen), np.array([share(order[size:]) for size in tracked(chosen, "circuits of a curve")]))


def default_sizes(paths: int) -> list[int]:
    """Numbers of paths from one to all, about evenly spaced on a log axis; and tenths of all, which areas need."""
    spaced = np.concatenate([np.geomspace(1, paths, POINTS), np.linspace(0, paths, 11)[1:]])
    return sorted({max(1, round(size)) for size in spaced.tolist()})


def mib_sizes(paths: int) -> list[int]:
    """The sizes at which MIB reads its curves: its shares of the paths, rounded down."""
    return sorted({int(share * paths) for share in SHARES})


def area_under_roc(scores: Float[np.ndarray, " path"], true: Bool[np.ndarray, " path"]) -> float:
    """How well scores tell the true paths from others: the probability that a true one has the larger score, ties as
    half. Raises ValueError where all paths are true, or none.
    """
    inside = int(true.sum())
    if not 0 < inside < len(true):
        raise ValueError(f"{inside} of {len(true)} paths are true: the area needs some of both")
    ranks = stats.rankdata(scores)
    return float((ranks[true].sum() - inside * (inside + 1) / 2) / (inside * (len(true) - inside)))
