"""Where a process works: on the CPU, or on a GPU that it has to itself.

Chains, removals of heads and paths, and discovery run there, which is what takes long; all else runs on the CPU.
Noise is drawn on the CPU in either case, so that a cell has the same key: values agree up to rounding.
"""

import os

import torch

VARIABLE = "DEVCIRCUITS_DEVICE"  # of a process; workers on other machines inherit it from their shell


def own() -> torch.device:
    """This process's; raises ValueError for a name that is none, or a GPU that is not there."""
    name = os.environ.get(VARIABLE, "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"{VARIABLE}={name}: no such device; use cpu, cuda or cuda:NUMBER") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"{VARIABLE}={name}: PyTorch sees {torch.cuda.device_count()} GPUs here; use another, or cpu")
    return device


def for_workers(name: str) -> tuple[str, ...]:
    """One for each worker process: every GPU that there is, or none for "cpu". Raises ValueError without a GPU."""
    count = torch.cuda.device_count()
    if name == "cuda" and not count:
        raise ValueError("--device cuda: PyTorch sees no GPU here; use --device cpu")
    return tuple(f"cuda:{number}" for number in range(count)) if name == "cuda" else ()
