"""Where jobs are done: in this process, in worker processes on this machine, or by a Dask cluster.

All three are `concurrent.futures.Executor`s, which is all that `sweep.run` asks for.
"""

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch

from experiments.jobs import device, memory

DEATHS = 3  # of workers that a job may see while it is in flight
BROKEN = 10  # times that the workers may die in a row, with nothing done in between
PATIENCE = "10s"  # for a Dask scheduler to answer


class Here(Executor):
    """Runs jobs in this process, at once."""

    workers = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def workers_of(executor: Executor) -> int:
    """How many jobs an executor does side by side; 0 where it does not say, as a cluster whose workers come and go."""
    return getattr(executor, "workers", 0) or getattr(executor, "_max_workers", 0)  # of the standard library's own


@dataclass(eq=False)
class _Call:
    function: Callable[[], Any]
    future: Future = field(default_factory=Future)
    deaths: int = 0


class Pool(Executor):
    """Spawned processes with one torch thread each.

    Where one dies all are started again, and what was in flight is done again: together with others, then by itself;
    after DEATHS deaths it fails with BrokenExecutor. Nothing is started before there is work.
    """

    def __init__(self, workers: int, devices: Sequence[str] = ()) -> None:
        """devices: each to one process, which samples on it; no more processes than these. Raises ValueError for less
        than one worker."""
        if workers < 1:
            raise ValueError(f"workers={workers}: at least one is needed")
        self.workers, self._devices = min(workers, len(devices) or workers), devices
        self._lock = threading.RLock()
        self._waiting: deque[_Call] = deque()
        self._flying: list[_Call] = []
        self._processes: ProcessPoolExecutor | None = None
        self._broken = 0
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        waiting = _Call(partial(fn, *args, **kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("submitted to a pool that was shut down")
            self._waiting.append(waiting)
        self._start()
        return waiting.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._closed = True
            processes = self._processes
            if cancel_futures:
                self._waiting.clear()
        if processes:
            processes.shutdown(wait, cancel_futures=cancel_futures)

    def _start(self) -> None:
        """Hands out as many jobs as there are workers, so that those in flight are known when one dies."""
        with self._lock:
            while self._waiting and self._has_room(self._waiting[0]) and not self._closed:
                call = self._waiting.popleft()
                self._flying.append(call)
                processes = self._living()
                try:
                    inner = processes.submit(call.function)
                except BrokenExecutor as error:
                    self._settle(call, processes, error, None)
                else:
                    inner.add_done_callback(partial(self._landed, call, processes))

    def _has_room(self, call: _Call) -> bool:
        alone = call.deaths == DEATHS - 1 or any(one.deaths == DEATHS - 1 for one in self._flying)
        return len(self._flying) < (1 if alone else self.workers)

    def _living(self) -> ProcessPoolExecutor:
        if self._processes is None:
            context = get_context("spawn")
            devices = context.SimpleQueue()
            for name in self._devices:
                devices.put(name)
            self._processes = ProcessPoolExecutor(self.workers, context, _start_worker, (devices,))
        return self._processes

    def _landed(self, call: _Call, processes: ProcessPoolExecutor, inner: Future) -> None:
        if inner.cancelled():
            call.future.cancel()
            return
        error = inner.exception()
        self._settle(call, processes, error, None if error else inner.result())
        self._start()

    def _settle(self, call: _Call, processes: ProcessPoolExecutor, error: BaseException | None, result: object) -> None:
        with self._lock:
            self._flying.remove(call)
            if isinstance(error, BrokenExecutor):
                if self._processes is processes:
                    self._processes = None
                    self._broken += 1
                call.deaths += 1
                if call.deaths < DEATHS and self._broken < BROKEN and not self._closed:
                    self._waiting.appendleft(call)
                    return
                error = BrokenExecutor("its worker process died (out of memory? try fewer --workers)")
            else:
                self._broken = 0
        if error is None:
            call.future.set_result(result)
        else:
            call.future.set_exception(error)


@contextmanager
def pool(workers: int, devices: Sequence[str] = ()) -> Iterator[Executor]:
    """Processes that end with this one even when it is killed; devices: each is one process's own (`device.py`).

    On an error or Ctrl-C they are stopped at once: cells are written whole, so nothing is half done.
    """
    others = set(active_children())
    with Pool(workers, devices) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for worker in set(active_children()) - others:
                worker.terminate()
            raise


@contextmanager
def dask(address: str) -> Iterator[Executor]:
    """The workers of a Dask scheduler, which share this machine's files; ValueError where none answers."""
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ValueError("--scheduler needs Dask: install the extra, pip install -e '.[dask]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it reports reaches the caller as errors
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"no Dask scheduler at {address!r} ({error}): start one with `dask scheduler`") from None
    with client:
        yield client.get_executor(pure=False)


def _start_worker(devices: "SimpleQueue[str]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    memory.keep_freed()
    torch.set_num_threads(1)
    if not devices.empty():
        os.environ[device.VARIABLE] = devices.get()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
