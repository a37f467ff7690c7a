"""How much memory this process had, and whether an error says that there was too little."""

import contextlib
import ctypes
import resource
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_UNIT = 1e6 if sys.platform == "darwin" else 1e3  # of ru_maxrss, in MB


def peak() -> float:
    """The most memory that this process had since `forget_peak`, or since its start where that cannot be had, in MB."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT


def forget_peak() -> None:
    """Starts again from what the process has now (on Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out; a worker that died is taken for one that was killed for it."""
    from llc.minibatch import short_of_memory  # here, since PyTorch comes with it: the command line asks without it

    died = isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"  # Dask's, which may not be there
    return died or isinstance(error, MemoryError) or short_of_memory(error)


def keep_freed() -> None:
    """Tells glibc not to return freed arrays to the system: taking them back, page by page, costs a fifth of the time.

    Does nothing where the C library is another.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
