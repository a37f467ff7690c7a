"""How long jobs will still take: the seconds that their kinds declare, corrected by those that finished jobs took.

The progress bar and the verb `status` both ask here, so that they say the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

PATIENCE = 0.1  # of the seconds in which no job has ended: less than that is never said to be left


class Timed(NamedTuple):
    """A job of a sweep, as far as its time goes."""

    kind: str  # jobs of one kind are wrong about their seconds in the same way
    declared: float  # seconds on one core, roughly
    over: bool = False  # done, or failed
    took: float | None = None  # seconds, of one that is done


def seconds_left(jobs: Sequence[Timed], *, elapsed: float, since: float, workers: int = 0) -> float:
    """Seconds until all of these jobs are over.

    elapsed: since the sweep began; since: since its last job ended (or it began); workers: processes that do the jobs,
    0 where that is not known: then as many as have been busy. What jobs in flight have done counts by `since` alone.
    """
    left = _corrected(jobs)
    if not left:
        return 0.0
    side_by_side = workers or max(1.0, sum(_took(jobs)) / elapsed if elapsed > 0 else 1.0)
    at_last_end = max(sum(left) / min(side_by_side, len(left)), max(left))
    return max(at_last_end - since, PATIENCE * since)


def _corrected(jobs: Sequence[Timed]) -> list[float]:
    """Seconds of each job that is not over: those declared, times observed over declared of its kind's finished jobs;
    of all finished jobs where none of its kind is, and as declared before the first."""
    usual = _ratio(jobs) or 1.0
    waiting = [job for job in jobs if not job.over]
    kinds = {job.kind for job in waiting}
    ratio = {kind: _ratio([job for job in jobs if job.kind == kind]) or usual for kind in kinds}
    return [job.declared * ratio[job.kind] for job in waiting]


def _ratio(jobs: Sequence[Timed]) -> float | None:
    """Seconds that finished jobs took over the seconds that they declared; None where none has."""
    finished = [job for job in jobs if job.took is not None]
    declared = sum(job.declared for job in finished)
    return sum(_took(finished)) / declared if declared > 0 else None


def _took(jobs: Iterable[Timed]) -> list[float]:
    return [job.took for job in jobs if job.took is not None]
