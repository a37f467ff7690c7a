"""Many independent jobs on any executor, with progress, that may be interrupted at any moment.

Each job stores its own cells, so nothing here holds a result. It runs on one torch thread: a cell's bits depend
neither on the number of workers nor on where they are.
"""

import errno
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from queue import SimpleQueue
from typing import Any

import torch

from ablations.running import quietly
from experiments.jobs import job_log, memory, progress
from experiments.jobs.bugs import as_told, is_about_input, is_bug
from experiments.jobs.executors import Here, workers_of
from experiments.jobs.job import Job, JobsFailed

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # what would lose the work of every other job too


def run(jobs: Sequence[Job], executor: Executor, description: str) -> None:
    """Runs all jobs, the longest first. A job that fails does not stop the others, except where nothing can be
    written; one that runs out of memory is done in parts.

    At the end, JobsFailed names the failed ones, which the same call tries again; the ValueError itself is raised
    where one and the same was the answer to every job.
    """
    workers = workers_of(executor)
    with progress.stage(jobs, description, workers) as stage, job_log.writing(jobs, description, workers) as log:
        failed = list(_failures(jobs, executor, log, stage))
    if not failed:
        return
    first, error = failed[0]
    if is_about_input(error) and len(failed) == len(jobs) and len({str(e) for _, e in failed}) == 1:
        raise error
    raise JobsFailed(
        f"{len(failed)} of {len(jobs)} jobs failed, the others are done; {first.name}: {_line(error)} "
        f"(all are in {first.folder / job_log.NAME}; the same command tries them again)",
        [error for _, error in failed],
    ) from error


def run_here(jobs: Sequence[Job], description: str) -> None:
    """Runs all jobs in this process, one after another."""
    run(jobs, Here(), description)


def _failures(
    jobs: Sequence[Job], executor: Executor, log: job_log.Log, stage: progress.Stage
) -> Iterator[tuple[Job, BaseException]]:
    """Runs all jobs, and yields those that fail, with the error."""
    ended: SimpleQueue[Future] = SimpleQueue()
    running: dict[Future, Job] = {}
    waiting = sorted(jobs, key=lambda job: job.seconds)
    while waiting or running:
        while waiting and ended.empty():  # an executor that works at once has a result for each
            job = waiting.pop()
            future = executor.submit(work, job.function, job.arguments)
            running[future] = job
            future.add_done_callback(ended.put)
        future = ended.get()
        job = running.pop(future)
        try:
            took, peak_mb = future.result()
        except (Exception, CancelledError) as error:
            if job.parts and memory.ran_out(error):
                waiting.extend(job.parts)
                log.split(job)
                stage.split(job)
                continue
            log.failed(job, _line(error), "".join(traceback.format_exception(error)) if is_bug(error) else "")
            if isinstance(error, CancelledError):
                raise BrokenExecutor("the scheduler is gone: what is finished is kept, run the same again") from None
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            stage.over(job)
            yield job, error
        else:
            log.done(job, took, peak_mb)
            stage.over(job, took)


def work(function: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[float, float]:
    """Runs a job where it is done; returns its seconds, and the most memory (MB) that its process had.

    A ValueError that says nothing about the input is raised as a Bug.
    """
    torch.set_num_threads(1)
    memory.forget_peak()
    start = time.perf_counter()
    try:
        with quietly():  # the sweep has a bar
            function(*arguments)
    except ValueError as error:
        told = as_told(error)
        if told is error:
            raise
        raise told from error
    return time.perf_counter() - start, memory.peak()


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | OSError) and text else f"{type(error).__name__}: {text}"
