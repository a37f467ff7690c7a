"""Where a process works: on the CPU, or on a GPU that it has to itself.

Chains, removals of heads and paths, and discovery run there, which is what takes long; all else runs on the CPU.
Noise is drawn on the CPU in either case, so that a cell has the same key: values agree up to rounding.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

VARIABLE = "DEVCIRCUITS_DEVICE"  # of a process; workers on other machines inherit it from their shell
NAMES = "use cpu, cuda or cuda:NUMBER"
_ASKED: ContextVar[str] = ContextVar("device", default="")


def own() -> torch.device:
    """What is asked for around this call (`on`), else this process's; raises ValueError as `checked` does."""
    if asked := _ASKED.get():
        return checked(asked, "device=")
    return checked(os.environ.get(VARIABLE, "cpu"), f"{VARIABLE}=")


@contextmanager
def on(name: str) -> Iterator[None]:
    """What is computed in this process while it lasts runs on this device; an empty name changes nothing."""
    before = _ASKED.set(name or _ASKED.get())
    try:
        yield
    finally:
        _ASKED.reset(before)


def checked(name: str, asked: str) -> torch.device:
    """The device of this name; raises ValueError for a name that is none, for another kind than CPU and CUDA, and for a
    GPU that is not there. asked: what stands before the name in the message, as the user wrote it: "--device ".
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"{asked}{name}: no such device; {NAMES}") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"{asked}{name}: chains and ablations run on the CPU or a CUDA GPU; {NAMES}")
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        seen = f"{count} GPUs here; use another, or cpu" if count else "no GPU here; use cpu"
        raise ValueError(f"{asked}{name}: PyTorch sees {seen}")
    return device


def for_workers(name: str) -> tuple[str, ...]:
    """One for each worker process: of "cuda" every GPU that there is, of "cuda:1" that one, of "cpu" none. Raises
    ValueError as `checked` does.
    """
    device = checked(name, "--device ")
    if device.type == "cpu":
        return ()
    count = torch.cuda.device_count()
    return (name,) if device.index is not None else tuple(f"cuda:{number}" for number in range(count))
