"""One line before long work begins: how long it will take, what most of it goes to, and what would take less."""

import sys
from collections.abc import Callable, Sequence

from experiments.jobs.estimate import Timed, seconds_left
from experiments.jobs.job import Job

LONG = 60.0  # seconds from which on something is said
NAMED = 3  # kinds that are named, those that take longest
Less = tuple[str, Callable[[], Sequence[Job]]]  # what could be asked for instead, and what makes its jobs


def announce(name: str, jobs: Sequence[Job], workers: int, less: Less | None = None) -> None:
    """Says on stderr how long these jobs will take, where that is long.

    workers: processes, 0 where it is not known how many.
    """
    if expected(jobs, workers) >= LONG:
        print(line(name, jobs, workers, less), file=sys.stderr)


def line(name: str, jobs: Sequence[Job], workers: int, less: Less | None = None) -> str:
    """What `announce` says."""
    by_kind: dict[str, list[Job]] = {}
    for job in jobs:
        by_kind.setdefault(job.kind, []).append(job)
    longest = sorted(by_kind.items(), key=lambda item: -sum(job.seconds for job in item[1]))
    parts = ", ".join(f"{kind} {in_words(expected(of_kind, workers))}" for kind, of_kind in longest[:NAMED])
    more = ", ..." if len(longest) > NAMED else ""
    instead = f"; {less[0]} takes about {in_words(expected(less[1](), workers))}" if less else ""
    return f"{name}: about {in_words(expected(jobs, workers))} ({parts}{more}){instead}"


def expected(jobs: Sequence[Job], workers: int) -> float:
    """Seconds until all of these jobs are done, none of which has begun."""
    return seconds_left([Timed(job.kind, job.seconds) for job in jobs], elapsed=0.0, since=0.0, workers=workers)


def in_words(seconds: float) -> str:
    """20 s, 12 minutes, 2 h 10 min; rounded, since it is an estimate."""
    if seconds < 95:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 95:
        return f"{minutes} minutes"
    hours, rest = divmod(10 * round(minutes / 10), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
