"""Roles of positions, against what is known of prompts by hand."""

import pytest
import torch

from ablations.padding import Padding
from circuits import roles, tasks
from circuits.roles import Roles
from circuits.tasks import Task

ROWS = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 3]])
ANSWERS = torch.tensor([1, 2]), torch.tensor([2, 1])


def told(found: Roles) -> list[list[str]]:
    return [[found.names[at] if at >= 0 else "-" for at in row] for row in found.at.tolist()]


def test_induction_prompts() -> None:
    task = tasks.induction(ROWS, torch.tensor([1, 2]))
    first, middle = ["first token", "other"], ["repeated tokens", "repeated tokens"]
    row = [*first, "previous occurrence", "token after it", *middle, "last token"]
    assert told(roles.induction_roles(task)) == told(roles.task_roles(task)) == [row, row]
    assert roles.induction_roles(task).where("last token").sum(1).tolist() == [1, 1]


def test_the_previous_occurrence_is_the_last_one_and_stands_where_it_does_in_each() -> None:
    clean = torch.tensor([[0, 5, 5, 6, 5], [0, 5, 6, 7, 6]])
    found = roles.induction_roles(Task("repeats", clean, clean, *ANSWERS))
    assert told(found) == [
        ["first token", "other", "previous occurrence", "token after it", "last token"],
        ["first token", "other", "previous occurrence", "token after it", "last token"],
    ]
    at_end = roles.induction_roles(Task("repeats", clean[:, :3], clean[:, :3], *ANSWERS)._replace(clean=clean[:1, :3]))
    assert told(at_end) == [["first token", "previous occurrence", "last token"]]
    with pytest.raises(ValueError, match="the last token of prompt 1 does not stand in it before"):
        roles.induction_roles(Task("repeats", torch.tensor([[1, 2, 1], [1, 2, 3]]), clean[:, :3], *ANSWERS))


def test_replaced_tokens_and_their_names() -> None:
    windows = torch.tensor([[0, 3, 4, 5, 6], [0, 3, 4, 5, 6]])
    task = tasks.replaced("brackets", windows, torch.tensor([1, 3]), torch.tensor([9, 9]), *ANSWERS)
    assert told(roles.task_roles(task)) == [
        ["first token", "enclosing opener", "token after it", "other", "last token"],
        ["first token", "other", "other", "enclosing opener", "last token"],
    ]
    for name, role in (("quotes", "opening quote"), ("skipgram", "far token"), ("my own", "replaced token")):
        assert told(roles.task_roles(task._replace(name=name)))[0][1] == role
    at_end = tasks.replaced("skipgram", windows, torch.tensor([4, 4]), torch.tensor([9, 9]), *ANSWERS)
    assert told(roles.task_roles(at_end))[0][-1] == "far token and last token"
    with pytest.raises(ValueError, match="no corrupted prompt differs"):
        roles.replaced_roles(task._replace(corrupted=task.clean))


def test_marks_by_column_and_by_mask_and_a_role_of_two() -> None:
    clean = torch.zeros(2, 4, dtype=torch.int64)
    task = Task("t", clean, clean, *ANSWERS)
    mask = torch.tensor([[True, True, False, False], [False, False, False, True]])
    found = roles.named(task, {"subject": mask, "verb": torch.tensor([1, 2])})
    assert told(found) == [["subject", "subject and verb", "other", "other"], ["other", "other", "verb", "subject"]]
    assert found.names == ("subject", "verb", "subject and verb", "other")
    for mark, match in (
        (torch.tensor([1, 4]), "stands outside its prompt: columns are 0 to 3"),
        (mask[:, :3], r"give bool \[2, 4\], or int64 \[2\]"),
        (torch.tensor([1.0, 2.0]), "float32"),
    ):
        with pytest.raises(ValueError, match=match):
            roles.named(task, {"subject": mark})
    with pytest.raises(ValueError, match="no marks"):
        roles.named(task, {})
    with pytest.raises(ValueError, match="no role 'object': the roles are subject, verb"):
        found.where("object")


@pytest.mark.parametrize("left", [True, False])
def test_padding_has_no_role(left: bool) -> None:
    rows = [[1, 1, 5, 6, 5], [0, 5, 6, 7, 6]] if left else [[5, 6, 5, 1, 1], [0, 5, 6, 7, 6]]
    clean, padded = torch.tensor(rows), Padding(token=1, left=left, begins=False, ends=False)
    corrupted = clean.clone()
    corrupted[torch.tensor([0, 1]), torch.tensor([2 if left else 0, 2])] = 9
    task = Task("repeats", clean, corrupted, *ANSWERS)
    one = ["first token and previous occurrence", "token after it", "last token"]
    assert told(roles.induction_roles(task, padded))[0] == (["-", "-", *one] if left else [*one, "-", "-"])
    numbers = roles.by_number(task, padded)
    assert told(numbers)[0] == (["-", "-", "0", "1", "2"] if left else ["0", "1", "2", "-", "-"])
    assert numbers.names == tuple("01234")
    first = ["first token and replaced token", "token after it", "last token"]
    assert told(roles.replaced_roles(task, padded=padded))[0] == (["-", "-", *first] if left else [*first, "-", "-"])
    assert told(roles.by_number(task))[0] == list("01234")  # the control: nothing says what padding is


@pytest.mark.parametrize(
    ("names", "at", "match"),
    [
        (("a", "a"), 0, "none twice"),
        ((), 0, "at least one"),
        (("a",), 1, "a role is not between -1"),
        (("a",), -2, "a role is not between -1"),
        (("a",), -1, "no position has a role"),
    ],
)
def test_roles_that_are_none_are_refused(names: tuple, at: int, match: str) -> None:
    clean = torch.zeros(2, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match=match):
        roles.check_roles(Roles(names, torch.full((2, 4), at)), Task("t", clean, clean, *ANSWERS))
