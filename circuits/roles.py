"""What a position is in a prompt: "previous occurrence", "token after it", "last token", rather than its number.

Prompts of one task share a structure, but what matters stands in another place in each. A role names such a place in
every prompt, so that effects at positions can be averaged over prompts. Each position has exactly one role; one that
two names fit has both ("opener and last token"), so that nothing is counted twice.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ablations.padding import Padding
from circuits.tasks import Task, ends, is_text

FIRST, LAST, OTHER, AFTER = "first token", "last token", "other", "token after it"
NONE = -1  # in `Roles.at`: padding, which nothing reads

Mark = Bool[Tensor, "prompt pos"]


class Roles(NamedTuple):
    """The role of every position of every prompt."""

    names: tuple[str, ...]
    at: Int64[Tensor, "prompt pos"]  # index into names; NONE for padding

    def where(self, name: str) -> Mark:
        """Which positions have this role; raises ValueError where no role has this name."""
        if name not in self.names:
            raise ValueError(f"no role {name!r}: the roles are {', '.join(self.names)}")
        return self.at == self.names.index(name)


def named(task: Task, marks: Mapping[str, Tensor], padded: Padding | None = None) -> Roles:
    """The roles that these marks make.

    marks: by name, which positions have it (bool [prompt, pos]), or the column in which it stands (int64 [prompt]).
    A position with several marks has a role of its own, named by all of them; one with none is "other". padded: how the
    model's tokenizer pads (`ablations.padding.padding_of`), where prompts are padded. Raises ValueError for no marks,
    marks of another shape, and columns outside the prompts.
    """
    if not marks:
        raise ValueError("no marks: name at least one, or take `by_number`")
    masks = torch.stack([_as_mask(task, name, mark) for name, mark in marks.items()])
    text = is_text(task, padded)
    kinds = masks[:, text].T.unique(dim=0).tolist()
    kinds.sort(key=lambda kind: (sum(kind) == 0, sum(kind), [not one for one in kind]))
    at = torch.full(task.clean.shape, NONE)
    for number, kind in enumerate(kinds):
        at[(masks == torch.tensor(kind)[:, None, None]).all(0) & text] = number
    names = (" and ".join(name for name, one in zip(marks, kind, strict=True) if one) or OTHER for kind in kinds)
    return Roles(tuple(names), at)


def induction_roles(task: Task, padded: Padding | None = None) -> Roles:
    """Roles in prompts whose last token stood before: "first token", "previous occurrence" (the last one), "token after
    it" (the answer), "repeated tokens" (others that stood before), "last token", "other".

    Raises ValueError for a prompt whose last token is new.
    """
    tokens, text, last = task.clean, is_text(task, padded), _columns(ends(task, padded), task.clean)
    same = (tokens == tokens[last][:, None]) & text & ~last
    if not same.any(1).all():
        row = int((~same.any(1)).int().argmax())
        raise ValueError(f"the last token of prompt {row} does not stand in it before: take `replaced_roles`")
    previous = _columns(tokens.shape[1] - 1 - same.flip(1).int().argmax(1), tokens)
    marks = {FIRST: _first(text), "previous occurrence": previous, AFTER: _after(previous) & ~last, LAST: last}
    before = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril(-1)
    stood = ((tokens[:, :, None] == tokens[:, None]) & before & text[:, None]).any(2)
    taken = torch.stack(list(marks.values())).any(0)
    return named(task, {**marks, "repeated tokens": stood & ~taken}, padded)


def replaced_roles(task: Task, name: str = "replaced token", padded: Padding | None = None) -> Roles:
    """Roles by where the corrupted prompts differ: "first token", the token that is replaced, under the name given,
    "token after it" (unless it is the last), "last token", "other".

    Raises ValueError where no corrupted prompt differs from its clean one.
    """
    text = is_text(task, padded)
    replaced = (task.clean != task.corrupted) & text
    if not replaced.any():
        raise ValueError("no corrupted prompt differs from its clean one: nothing is replaced")
    last = _columns(ends(task, padded), task.clean)
    after = _after(replaced) & ~replaced & ~last
    return named(task, {FIRST: _first(text), name: replaced, AFTER: after, LAST: last}, padded)


def by_number(task: Task, padded: Padding | None = None) -> Roles:
    """Every position by its number, from 0 at the first token of its prompt: for prompts that are aligned."""
    text = is_text(task, padded)
    at = (text.cumsum(1) - 1).masked_fill(~text, NONE)
    return Roles(tuple(str(number) for number in range(int(at.max()) + 1)), at)


def task_roles(task: Task, padded: Padding | None = None) -> Roles:
    """The roles of a task by its name: those of induction prompts, of brackets, quotes and skip trigrams; of a task
    that is not known, by the replaced token.
    """
    return _OF_TASKS.get(task.name, replaced_roles)(task, padded=padded)


def check_roles(roles: Roles, task: Task) -> None:
    """Raises ValueError for roles that are not of these prompts, names that are not distinct, and no role at all."""
    if roles.at.shape != task.clean.shape:
        raise ValueError(
            f"roles of {list(roles.at.shape)} positions, prompts of {list(task.clean.shape)}: give one each"
        )
    if not roles.names or len(set(roles.names)) < len(roles.names):
        raise ValueError(f"names of roles {', '.join(roles.names)}: give at least one, and none twice")
    if int(roles.at.min()) < NONE or int(roles.at.max()) >= len(roles.names):
        raise ValueError(f"a role is not between {NONE} (none) and {len(roles.names) - 1}: each is an index into names")
    if (roles.at == NONE).all():
        raise ValueError("no position has a role: give one at least")


def _as_mask(task: Task, name: str, mark: Tensor) -> Mark:
    shape = task.clean.shape
    if mark.dtype == torch.bool and mark.shape == shape:
        return mark
    if mark.dtype != torch.int64 or mark.shape != shape[:1]:
        raise ValueError(
            f"mark {name!r} is {mark.dtype} of shape {list(mark.shape)}: give bool {list(shape)}, or int64 "
            f"{list(shape[:1])}, the column in which it stands in each prompt"
        )
    if ((mark < 0) | (mark >= shape[1])).any():
        raise ValueError(f"mark {name!r} stands outside its prompt: columns are 0 to {shape[1] - 1}")
    return _columns(mark, task.clean)


def _columns(column: Int64[Tensor, " prompt"], tokens: Int64[Tensor, "prompt pos"]) -> Mark:
    return torch.arange(tokens.shape[1]) == column[:, None]


def _first(text: Mark) -> Mark:
    return text & (text.cumsum(1) == 1)


def _after(mark: Mark) -> Mark:
    """The position after each one."""
    return torch.nn.functional.pad(mark, (1, -1))


_OF_TASKS: dict[str, Callable[..., Roles]] = {
    "induction": induction_roles,
    "repeats": induction_roles,
    "brackets": partial(replaced_roles, name="enclosing opener"),
    "quotes": partial(replaced_roles, name="opening quote"),
    "skipgram": partial(replaced_roles, name="far token"),
    "skip_trigrams": partial(replaced_roles, name="far token"),
}
