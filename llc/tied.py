"""Parameters that are one: two names for the same memory, as an unembedding that is the embedding transposed, or the
names of a block that is used for two layers.

A model's weights are taken here by all their names, so that each layer has its own. Of names that share their memory
the first is the owner; whatever varies, the others follow it.
"""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ablations import forward
from ablations.models import Model, as_model
from ablations.not_measurable import NotMeasurable


class Tie(NamedTuple):
    """A name for the memory of another parameter, its owner."""

    name: str
    owner: str
    transposed: bool  # whether it is the owner's transpose, and else the same

    def of(self, value: Tensor) -> Tensor:
        """What this name stands for where the owner has the value."""
        return value.T if self.transposed else value


def ties(weights: Mapping[str, Tensor]) -> tuple[Tie, ...]:
    """Which of these parameters share their memory with one before them.

    Raises NotMeasurable where two share a part of it, or in another order than the same or the transposed one.
    """
    found, owners = [], dict[int, list[str]]()
    for name, weight in weights.items():
        sharing = owners.setdefault(weight.untyped_storage().data_ptr(), []) if weight.numel() else []
        owner = next((other for other in sharing if _overlap(weights[other], weight)), None)
        if owner is None:
            sharing.append(name)
        elif _layout(weights[owner]) == _layout(weight):
            found.append(Tie(name, owner, transposed=False))
        elif weight.ndim == 2 and _layout(weights[owner]) == _layout(weight.T):
            found.append(Tie(name, owner, transposed=True))
        else:
            raise NotMeasurable(
                f"{name} and {owner} share a part of their memory, and are not the same or one the other's transpose: "
                "give one of them memory of its own, by clone()"
            )
    return tuple(found)


def followed(weights: Mapping[str, Tensor], ties: tuple[Tie, ...]) -> dict[str, Tensor]:
    """The weights, in which every tied name that is there follows its owner."""
    return dict(weights) | {tie.name: tie.of(weights[tie.owner]) for tie in ties if tie.name in weights}


def copied(model: Model) -> Model:
    """A copy of the model in which the same parameters are one: `copy.deepcopy` gives each memory of its own."""
    model = as_model(model)
    changed = copy.deepcopy(model)
    parameters = dict(changed.named_parameters(remove_duplicate=False))
    for tie in ties(forward.parameters_of(model)):
        parameters[tie.name].data = tie.of(parameters[tie.owner].data)
    return changed


def run(model: Model, weights: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
    """Logits [row, pos, d_vocab_out] of the model's own forward with these weights, differentiable in them.

    weights: by all their names. A block that is used for two layers takes what its first name says.
    """
    model = as_model(model)
    places = [f"{prefix}.{name}".lstrip(".") for prefix, module in model.named_modules() for name in module._parameters]
    own = {name: weights[name] for name in places if name in weights}
    logits: Tensor = torch.func.functional_call(model, forward.buffers_of(model) | own, (tokens,), tie_weights=False)
    return logits


def _layout(weight: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return int(weight.storage_offset()), tuple(weight.shape), tuple(weight.stride())


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one storage have an entry in common; views may lie between each other and share none."""
    if _layout(one) == _layout(other):
        return True
    (first, last), (start, end) = _stretch(one), _stretch(other)
    if first > end or start > last:
        return False
    taken = torch.zeros(max(last, end) + 1, dtype=torch.bool)
    taken.as_strided(one.shape, one.stride(), first).fill_(True)
    return bool(taken.as_strided(other.shape, other.stride(), start).any())


def _stretch(weight: Tensor) -> tuple[int, int]:
    """The places of the first and the last entry in the storage."""
    first = int(weight.storage_offset())
    return first, first + sum((size - 1) * stride for size, stride in zip(weight.shape, weight.stride(), strict=True))
