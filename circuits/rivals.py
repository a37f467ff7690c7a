"""Is there another circuit for a task, one that shares no path with a circuit, or that does without its strongest?

All allowed paths together are tried first. Where they are faithful, the fewest of them that still are make the rival:
those come first whose loss costs most, and what is not needed is taken out again. So a rival is faithful by
construction, and where there is none the allowed paths cannot do the task. A rival means that what was found is one way
of several: its paths carry the task, as their effects say, but are not needed for it (arXiv:2605.12671 finds faithful
circuits that share 4% of their edges).
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ablations.forward import Weights
from ablations.models import Config
from ablations.paths import Path
from ablations.running import as_in_workers, tracked
from circuits.curves import default_sizes
from circuits.discover_paths import candidates, parted, without
from circuits.patched_metric import PatchedMetric, patched_metric
from circuits.tasks import Metric, Task, logit_difference

FAITHFUL = 0.8  # faithfulness that a rival needs


class Rival(NamedTuple):
    """A circuit that was looked for; where none is found, all paths that were allowed."""

    paths: tuple[Path, ...]
    faithfulness: float
    found: bool  # whether it is faithful enough

    def shared(self, circuit: Collection[Path]) -> float:
        """The Jaccard index of its paths with those of another circuit."""
        either = set(self.paths) | set(circuit)
        return len(set(self.paths) & set(circuit)) / len(either) if either else 1.0


class Rivals(NamedTuple):
    """What else does the task."""

    disjoint: Rival  # none of the circuit's paths
    without_strongest: Rival  # without the path that the circuit needs most, of those that other circuits do without
    needed: dict[Path, bool]  # of each path, whether no circuit does without it: all others together are not faithful


@as_in_workers()
def rivals(
    weights: Weights,
    cfg: Config,
    task: Task,
    circuit: Sequence[str | Path],
    metric: Metric = logit_difference,
    *,
    faithful: float = FAITHFUL,
) -> Rivals:
    """Looks for both kinds of rivals of a circuit, among all `candidates`.

    Arguments:

        circuit   paths by name or as values
        faithful  the faithfulness that a rival needs, between 0 and 1; nor may it be above 2 - faithful

    The search takes about a run for each path. Raises ValueError for an empty circuit, a path that the model does not
    have, and a faithfulness out of range; NotMeasurable where the model does not do the task.
    """
    chosen, outside = parted(circuit, cfg)
    if not chosen or not 0 < faithful < 1:
        raise ValueError(
            f"{len(chosen)} paths, faithful={faithful}: give a circuit, and a faithfulness between 0 and 1"
        )
    patched = patched_metric(weights, cfg, task, metric)
    every = candidates(cfg)
    whole = patched.share(outside)
    costs = {path: whole - patched.share([*outside, path]) for path in chosen}
    needed = {path: not _enough(patched.share([path]), faithful) for path in chosen}
    strongest = max(costs, key=lambda path: (not needed[path], costs[path]))
    return Rivals(
        _search(patched, every, outside, faithful),
        _search(patched, every, without(every, [strongest]), faithful),
        needed,
    )


def _search(patched: PatchedMetric, every: Sequence[Path], allowed: Sequence[Path], faithful: float) -> Rival:
    """The fewest of the allowed paths, the most needed of them first, that are faithful; then any of these that is not
    needed is taken out, the least needed first.
    """

    def share(circuit: Sequence[Path]) -> float:
        return patched.share(without(every, circuit))

    whole = share(allowed)
    if not _enough(whole, faithful):
        return Rival(tuple(allowed), whole, False)
    lost = {path: whole - share(without(allowed, [path])) for path in tracked(allowed, "paths of a rival")}
    order = sorted(allowed, key=lambda path: -lost[path])
    size = next(size for size in default_sizes(len(order)) if _enough(share(order[:size]), faithful))
    chosen = order[:size]
    for path in reversed(order[:size]):
        left = without(chosen, [path])
        if left and _enough(share(left), faithful):
            chosen = left
    return Rival(tuple(chosen), share(chosen), True)


def _enough(share: float, faithful: float) -> bool:
    return faithful <= share <= 2 - faithful
