"""The progress of a command: one bar, which names the stage, and moves while a long job runs.

A command has several stages, each a call of `runner.run` with jobs that were not known before. In a notebook, where no
command is open, each stage has a bar of its own.
"""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from experiments.jobs.estimate import Timed, seconds_left
from experiments.jobs.job import Job

BEAT = 1.0  # seconds between two looks at the clock
LAYOUT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far{postfix}"
NAMED = 3  # kinds of a stage that the bar names


@dataclass
class Command:
    """What a command has done so far."""

    name: str
    began: float = field(default_factory=time.time)  # seconds since the epoch
    stages: int = 0
    jobs: int = 0


_COMMAND: ContextVar[Command | None] = ContextVar("command", default=None)


@contextmanager
def command(name: str) -> Iterator[None]:
    """Stages inside the block are those of one command, whose last line on stderr says how long it took."""
    opened = Command(name)
    token = _COMMAND.set(opened)
    try:
        yield
    finally:
        _COMMAND.reset(token)
    if opened.stages:
        stages = f"{opened.stages} stage{'s' if opened.stages > 1 else ''}"
        print(f"{name}: {opened.jobs} jobs in {stages}, {clock(time.time() - opened.began)}", file=sys.stderr)


class Stage:
    """Jobs that are run together, and what became of them."""

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._lock = threading.Lock()
        self._jobs = {id(job): Timed(job.kind, job.seconds) for job in jobs}
        self._workers = workers
        self._began = self._last = time.monotonic()

    def over(self, job: Job, took: float | None = None) -> None:
        """A job is done, or has failed (no seconds)."""
        with self._lock:
            self._jobs[id(job)] = Timed(job.kind, job.seconds, True, took)
            self._last = time.monotonic()

    def split(self, job: Job) -> None:
        """A job's parts are done in its place."""
        with self._lock:
            del self._jobs[id(job)]
            self._jobs |= {id(part): Timed(part.kind, part.seconds) for part in job.parts}

    def counted(self) -> tuple[int, int]:
        """Jobs that are over, and all."""
        with self._lock:
            return sum(job.over for job in self._jobs.values()), len(self._jobs)

    def left(self) -> float:
        """Seconds until the stage is over."""
        now = time.monotonic()
        with self._lock:
            times = {"elapsed": now - self._began, "since": now - self._last}
            return seconds_left([*self._jobs.values()], **times, workers=self._workers)


@contextmanager
def stage(jobs: Sequence[Job], description: str, workers: int) -> Iterator[Stage]:
    """A stage, and its bar until the block ends; no bar where there are no jobs. workers: 0 where it is not known."""
    running = Stage(jobs, workers)
    if not jobs:
        yield running
        return
    of = _COMMAND.get() or Command(description)
    of.stages, of.jobs = of.stages + 1, of.jobs + len(jobs)
    with _drawn(running, of, label(jobs, description) if of.name != description else description):
        yield running


def label(jobs: Sequence[Job], description: str) -> str:
    """What a stage is called: its description, and the kinds of its jobs, those that take longest first."""
    seconds: dict[str, float] = {}
    for job in jobs:
        seconds[job.kind] = seconds.get(job.kind, 0.0) + job.seconds
    kinds = [kind for kind in sorted(seconds, key=lambda kind: -seconds[kind]) if kind]
    more = ", ..." if len(kinds) > NAMED else ""
    return f"{description} ({', '.join(kinds[:NAMED])}{more})" if kinds else description


@contextmanager
def _drawn(running: Stage, of: Command, text: str) -> Iterator[None]:
    """The bar, drawn anew at every beat; a command's own goes away with the stage, so that what is printed is clean."""
    from tqdm.auto import tqdm  # here: the command line is opened without it

    alone, ended = of is not _COMMAND.get(), threading.Event()
    told = text if alone else f"{of.name}, stage {of.stages}, {text}"
    with tqdm(total=1.0, desc=told, bar_format=LAYOUT, leave=alone) as bar:
        bar.start_t -= time.time() - of.began  # one clock for all stages

        def draw() -> None:
            over, count = running.counted()
            left, so_far = running.left(), time.time() - of.began
            bar.n = so_far / (so_far + left) if left else 1.0
            bar.set_postfix_str(f"about {clock(left)} left, {over} of {count} jobs", refresh=True)

        def beat() -> None:
            while not ended.wait(BEAT if sys.stderr.isatty() else 10 * BEAT):
                draw()

        draw()
        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            draw()


def clock(seconds: float) -> str:
    """90 -> "01:30", 3690 -> "1:01:30"."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"
