"""Many independent pieces of work in worker processes, with progress, that may be interrupted at any moment.

Each piece stores its own cells, so nothing here holds a result. A worker uses one torch thread: a cell's bits do not
depend on the number of workers.
"""

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import torch
from tqdm.auto import tqdm

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


class Task(NamedTuple):
    """One piece of work: a module-level function that stores what it computes."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]
    seconds: float  # rough cost, for the progress bar


def run(tasks: Sequence[Task], executor: Executor, description: str) -> None:
    """Runs all tasks, the longest first; raises the first failure. What is stored by then stays."""
    futures = {
        executor.submit(task.function, *task.arguments): task for task in sorted(tasks, key=lambda t: -t.seconds)
    }
    with _progress(tasks, description) as advance:
        for future in as_completed(futures):
            future.result()
            advance(futures[future])


def run_here(tasks: Sequence[Task], description: str) -> None:
    """Runs all tasks in this process, one after another."""
    with _progress(tasks, description) as advance:
        for task in tasks:
            task.function(*task.arguments)
            advance(task)


@contextmanager
def _progress(tasks: Sequence[Task], description: str) -> Iterator[Callable[[Task], None]]:
    """A bar in seconds of work; what it yields is called with every task that is done."""
    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far, {remaining} left{postfix}"
    total, done = sum(task.seconds for task in tasks), 0
    with tqdm(total=total, desc=description, bar_format=layout, smoothing=0, disable=not tasks) as bar:

        def advance(task: Task) -> None:
            nonlocal done
            done += 1
            bar.set_postfix_str(f"{done} of {len(tasks)} pieces", refresh=False)
            bar.update(min(task.seconds, total - bar.n))  # sums of floats may pass the total

        yield advance


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes with one torch thread each, which end with this process even when it is killed.

    On an error or Ctrl-C they are stopped at once: cells are written whole, so nothing is half done.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: at least one is needed")
    others = set(active_children())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for worker in set(active_children()) - others:
                worker.terminate()
            raise


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    keep_freed_memory()
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def keep_freed_memory() -> None:
    """Tells glibc not to return freed arrays to the system: taking them back, page by page, costs a fifth of the time.

    Does nothing where the C library is another.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
