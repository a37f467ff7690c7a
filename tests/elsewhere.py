"""A device that is none of this machine's: real numbers on the CPU under the name of another device.

What mixes its tensors with those of the CPU, which a GPU refuses, is refused here, too; so that the places of tensors
can be tested where there is no GPU. Numbers (tensors without dimensions) and indices may be the CPU's, as on a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

DEVICE = torch.device("cpu:1")  # whose name PyTorch takes without looking for one
TAKES_INDICES = ("index", "index_put_", "_index_put_impl_", "copy_")  # from the CPU


class Elsewhere(torch.Tensor):
    """A tensor on that device; `held` has its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None) -> Any:
        raise AssertionError("used outside of the block in which the device is there")


class _Device(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None) -> Any:
        kwargs = dict(kwargs or {})
        given = [one for one in tree_iter((args, kwargs)) if isinstance(one, torch.Tensor)]
        there = [one for one in given if isinstance(one, Elsewhere)]
        name = operation.overloadpacket.__name__
        strangers = [one for one in given if not isinstance(one, Elsewhere) and one.dim()]
        if there and strangers and name not in TAKES_INDICES:
            raise RuntimeError(f"expected all tensors to be on the same device: {name} has some on the CPU")
        target = kwargs.get("device")
        to_there = bool(there) if target is None else torch.device(target) == DEVICE
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        args, kwargs = tree_map(_held, (args, kwargs))
        result = operation(*args, **kwargs)
        if name == "copy_":
            return given[0]
        changed = {id(one.held): one for one in there}  # in place, or out=

        def wrapped(one: Any) -> Any:
            return changed[id(one)] if id(one) in changed else Elsewhere(one) if isinstance(one, torch.Tensor) else one

        return tree_map(wrapped, result) if to_there else result


def _held(one: Any) -> Any:
    return one.held if isinstance(one, Elsewhere) else one


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """The device, which is there inside the block."""
    with _Device(), torch.no_grad():
        yield DEVICE
