"""How public calls run, whatever the notebook or script around them has set: as in the toolkit's own workers.

That is on one thread of PyTorch (more of them wait for each other where the machine is busy, and cost twenty times the
time), with gradients to be had, outside inference mode, and with float32 where a tensor has no type of its own. All of
it holds inside the call alone, and is as before afterwards, also after an error. A call that takes long shows how far
it is, on a terminal and in notebooks.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

THREADS = 1  # of PyTorch in each process
PATIENCE = 1.0  # seconds that a call takes before it shows a bar
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
Item = TypeVar("Item")


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


def tracked(items: Collection[Item], what: str) -> Iterator[Item]:
    """The items one after the other, with a bar that says how many are done and the time left; what: its name.

    There is none in the first second, none where stderr is no terminal (notebooks have their own), and none in jobs.
    """
    from tqdm.auto import tqdm  # here: it looks at the notebook around it

    yield from tqdm(items, what, delay=PATIENCE, leave=False, disable=True if _QUIET.get() else None)


@contextmanager
def quietly() -> Iterator[None]:
    """No bars of `tracked` while this lasts: what runs inside has a bar of its own."""
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)
