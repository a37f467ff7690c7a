"""Many independent jobs on any executor, with progress, that may be interrupted at any moment.

Each job stores its own cells, so nothing here holds a result. It runs on one torch thread: a cell's bits depend
neither on the number of workers nor on where they are.
"""

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import torch
from tqdm.auto import tqdm

from experiments.jobs import job_log, memory
from experiments.jobs.executors import Here
from experiments.jobs.job import Job, JobsFailed

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # what would lose the work of every other job too


def run(tasks: Sequence[Job], executor: Executor, description: str) -> None:
    """Runs all tasks, the longest first. A job that fails does not stop the others, except where nothing can be
    written; one that runs out of memory is done in parts.

    At the end, JobsFailed names the failed ones, which the same call tries again; the ValueError itself is raised
    where one and the same was the answer to every job.
    """
    with _progress(tasks, description) as advance, job_log.writing(tasks, description) as log:
        failed = list(_failures(tasks, executor, log, advance))
    if not failed:
        return
    first, error = failed[0]
    if isinstance(error, ValueError) and len(failed) == len(tasks) and len({str(e) for _, e in failed}) == 1:
        raise error
    raise JobsFailed(
        f"{len(failed)} of {len(tasks)} jobs failed, the others are done; {first.name}: {_line(error)} "
        f"(all are in {first.folder / job_log.NAME}; the same command tries them again)",
        [error for _, error in failed],
    ) from error


def run_here(tasks: Sequence[Job], description: str) -> None:
    """Runs all tasks in this process, one after another."""
    run(tasks, Here(), description)


def _failures(
    tasks: Sequence[Job], executor: Executor, log: job_log.Journal, advance: Callable[[Job], None]
) -> Iterator[tuple[Job, BaseException]]:
    """Runs all, and yields those that fail."""
    ended: SimpleQueue[Future] = SimpleQueue()
    running: dict[Future, Job] = {}
    waiting = sorted(tasks, key=lambda task: task.seconds)
    while waiting or running:
        while waiting and ended.empty():  # an executor that works at once has a result for each
            task = waiting.pop()
            future = executor.submit(work, task.function, task.arguments)
            running[future] = task
            future.add_done_callback(ended.put)
        future = ended.get()
        task = running.pop(future)
        try:
            log.done(task, *future.result())
        except (Exception, CancelledError) as error:
            if task.parts and memory.ran_out(error):
                waiting.extend(task.parts)
                continue
            log.failed(task, _line(error))
            if isinstance(error, CancelledError):
                raise BrokenExecutor("the scheduler is gone: what is finished is kept, run the same again") from None
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            yield task, error
        advance(task)


def work(function: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[float, float]:
    """Where the work is done: its seconds, and the most memory (MB) that its process had."""
    torch.set_num_threads(1)
    memory.forget_peak()
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start, memory.peak()


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | OSError) and text else f"{type(error).__name__}: {text}"


@contextmanager
def _progress(tasks: Sequence[Job], description: str) -> Iterator[Callable[[Job], None]]:
    """A bar in seconds of work; what it yields is called with every task that is done."""
    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far, {remaining} left{postfix}"
    total, done = sum(task.seconds for task in tasks), 0
    with tqdm(total=total, desc=description, bar_format=layout, smoothing=0, disable=not tasks) as bar:

        def advance(task: Job) -> None:
            nonlocal done
            done += 1
            bar.set_postfix_str(f"{done} of {len(tasks)} jobs", refresh=False)
            bar.update(min(task.seconds, total - bar.n))  # sums of floats may pass the total

        yield advance
