"""p-values of changed logits: held against the whole matrix and all permutations, in memory that is bounded."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from circuits import answer_tests
from circuits.tasks import Task


def task_of(prompts: int, vocabulary: int, seed: int = 0, shared: bool = False) -> Task:
    """Answers drawn at random, or from three tokens that prompts share."""
    generator = torch.Generator().manual_seed(seed)
    most = 3 if shared else vocabulary
    right = torch.randint(most, (prompts,), generator=generator)
    wrong = (right + torch.randint(1, most, (prompts,), generator=generator)) % most
    nothing = torch.zeros(prompts, 3, dtype=torch.int64)
    return Task("made", nothing, nothing, right, wrong)


def whole_matrix(task: Task, change: torch.Tensor) -> np.ndarray:
    """A [token, token]: a row for every token of the vocabulary."""
    matrix = np.zeros((change.shape[1],) * 2)
    for row, right, wrong in zip(change.double().numpy(), task.right.tolist(), task.wrong.tolist(), strict=True):
        matrix[right] += row
        matrix[wrong] -= row
    return matrix


def direct(task: Task, change: torch.Tensor) -> float:
    """The same test from the whole matrix."""
    matrix = whole_matrix(task, change)
    centred = matrix - matrix.mean(1, keepdims=True) - matrix.mean(0, keepdims=True) + matrix.mean()
    z = (np.trace(matrix) - matrix.mean(1).sum()) / np.sqrt((centred**2).sum() / (len(matrix) - 1))
    return float(2 * stats.t.sf(abs(z), len(matrix) - 1))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("prompts", "vocabulary"), [(1, 5), (4, 50), (40, 13), (64, 50)])
def test_it_is_what_the_whole_matrix_gives(prompts: int, vocabulary: int, shared: bool) -> None:
    found = []
    for seed in range(10):
        task = task_of(prompts, vocabulary, seed, shared)
        change = torch.randn(prompts, vocabulary, generator=torch.Generator().manual_seed(seed))
        change += torch.linspace(-1, 1, vocabulary)  # other tokens move, too
        change[torch.arange(prompts), task.right] += 0.3 * seed
        found.append(answer_tests.relabelling_p(task, change))
        assert found[-1] == pytest.approx(direct(task, change), rel=1e-4)
        rolled = task._replace(right=(task.right + 1) % vocabulary)
        assert answer_tests.relabelling_p(rolled, change) != pytest.approx(found[-1], rel=1e-3)  # negative control
    assert len(set(found)) == 10


def test_mean_and_variance_are_those_of_all_permutations() -> None:
    task, change = task_of(3, 6), torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    matrix = whole_matrix(task, change)
    traces = np.array([matrix[range(6), list(order)].sum() for order in itertools.permutations(range(6))])
    z = (np.trace(matrix) - traces.mean()) / traces.std()
    assert answer_tests.relabelling_p(task, change) == pytest.approx(2 * stats.t.sf(abs(z), 5), rel=1e-4)


@pytest.mark.parametrize("shared", [False, True])
def test_resamples_at_once_are_the_test_on_each(shared: bool) -> None:
    prompts, vocabulary, drawn = 40, 30, np.random.default_rng(0)
    task = task_of(prompts, vocabulary, 3, shared)
    change = torch.randn(prompts, vocabulary, generator=torch.Generator().manual_seed(3))
    change[torch.arange(prompts), task.right] += 0.4
    counts = drawn.multinomial(prompts, np.full(prompts, 1 / prompts), size=8).astype(float)
    each = []
    for count in counts:
        rows = torch.from_numpy(np.repeat(np.arange(prompts), count.astype(int)))
        each.append(answer_tests.p_value(Task("again", *(values[rows] for values in task[1:5])), change[rows]))
    assert answer_tests.p_values(task, change, counts) == pytest.approx(each, rel=1e-3)
    assert answer_tests.p_values(task, change, np.ones((1, prompts))) == pytest.approx(
        [answer_tests.p_value(task, change)], rel=1e-3
    )
    assert answer_tests.p_values(task, change, counts[:1]) != pytest.approx(each[1:2], rel=1e-2)  # the control
    assert (answer_tests.p_values(task, torch.zeros_like(change), counts) == 1).all()


def test_a_change_that_is_the_same_for_all_tokens_carries_nothing() -> None:
    task = task_of(8, 50)
    change = torch.arange(8.0)[:, None].expand(8, 50).clone()
    assert answer_tests.relabelling_p(task, change) == 1.0
    change[torch.arange(8), task.right] += 1
    assert answer_tests.relabelling_p(task, change) < 1e-6


class Sizes(TorchDispatchMode):
    """The number of entries of every tensor that is made while this lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        self.made += [each.numel() for each in (result, *args) if isinstance(each, torch.Tensor)]
        return result


def test_memory_is_that_of_the_answers_rows() -> None:
    prompts, vocabulary = 4, 20_000  # a matrix of all tokens would take 3 GB
    task = task_of(prompts, vocabulary)
    change = torch.randn(prompts, vocabulary, generator=torch.Generator().manual_seed(0))
    change[torch.arange(prompts), task.right] += 50
    with Sizes() as sizes:
        assert answer_tests.relabelling_p(task, change) < 1e-6
    assert prompts * vocabulary <= max(sizes.made) <= 2 * prompts * vocabulary


def test_changes_of_other_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="changes of 3 prompts, the task has 4"):
        answer_tests.p_value(task_of(4, 9), torch.zeros(3, 9))
