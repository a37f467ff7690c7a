"""How public calls run, whatever the notebook or script around them has set: as in the toolkit's own workers.

That is on one thread of PyTorch (more of them wait for each other where the machine is busy, and cost twenty times the
time), with gradients to be had, outside inference mode, and with float32 where a tensor has no type of its own. All of
it holds inside the call alone, and is as before afterwards, also after an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

THREADS = 1  # of PyTorch in each process


@contextmanager
def as_in_workers() -> Iterator[None]:
    """What a call runs under; `@as_in_workers()` before a function makes every call of it run so. Not for generators:
    what they are suspended in is seen by who asks them.
    """
    with threads(THREADS), usual_modes():
        yield


@contextmanager
def usual_modes() -> Iterator[None]:
    """PyTorch's modes are those that it starts with while this lasts: gradients, no inference mode, float32."""
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """PyTorch runs on so many threads while this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_precision(dtype: torch.dtype, what: str) -> None:
    """Raises ValueError for weights in half precision; what: what they are too coarse for, in plural."""
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"weights are {dtype}: {what} need float32, give model.to(torch.float32)")
