"""Prompts of skip trigrams: two tokens of a context in other text, of which one is taken away."""

from pathlib import Path

import numpy as np
import pytest
import torch

from circuits import tasks
from circuits.tasks import Task
from experiments import runs
from experiments.heldout import text_multigrams
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.tasks import skipgram_prompts, task_prompts

RUN = runs.open_run("mini-seed0")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    return Cells(tmp_path_factory.mktemp("skipgram"), RUN, plan.default_plan("python", 256))


@pytest.fixture(scope="module")
def task(cells: Cells) -> Task:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MINED_TOKENS": 400_000, "MOST": 600, "TESTED_TOKENS": 200_000}.items():
            patch.setattr(text_multigrams, name, value)
        patch.setattr(skipgram_prompts, "LEARNED", 0.5)
        return task_prompts.task("skipgram", cells)


def test_prompts_end_in_a_mined_context_which_is_broken_in_the_corrupted_ones(task: Task, cells: Cells) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MINED_TOKENS": 400_000, "MOST": 600, "TESTED_TOKENS": 200_000}.items():
            patch.setattr(text_multigrams, name, value)
        every = text_multigrams.as_patterns(cells.get(TEXT_MULTIGRAMS))
    mined = {
        (int(offsets[1]), int(tokens[1]), int(tokens[0]), int(target))
        for offsets, tokens, target in zip(*every, strict=True)
    }
    assert len(task.right) >= skipgram_prompts.FEWEST
    length = task.clean.shape[1]
    for clean, corrupted, right, wrong in zip(*task[1:5], strict=True):
        (place,) = (clean != corrupted).nonzero().flatten().tolist()
        near = int(clean[-1])
        assert (length - place, int(clean[place]), near, int(right)) in mined
        assert (length - place, int(corrupted[place]), near, int(right)) not in mined
        assert right != wrong
    assert len({tuple(row.tolist()) for row in task.clean[:, 1:-20]}) > 1


def test_the_model_says_the_target_less_often_without_the_far_token(task: Task) -> None:
    """And a model at its first checkpoint does not care."""
    effects = {}
    for step in (RUN.steps[0], RUN.steps[-1]):
        with torch.no_grad():
            clean, corrupted = (
                tasks.logit_difference(task, RUN.model(step)(rows)) for rows in (task.clean, task.corrupted)
            )
        effects[step] = (clean - corrupted).numpy()
    first, last = effects.values()
    assert last.mean() > 1
    assert abs(first.mean()) < 0.05
    assert last.mean() / (last.std(ddof=1) / len(last) ** 0.5) > 4


def test_bad_prompts_are_refused() -> None:
    windows = torch.arange(12).view(2, 6)
    far, right, wrong = torch.tensor([3, 3]), torch.tensor([20, 21]), torch.tensor([22, 22])
    built = tasks.replaced("skipgram", windows, far, torch.tensor([30, 30]), right, wrong)
    assert (built.clean != built.corrupted).nonzero().tolist() == [[0, 3], [1, 3]]
    for others, answers in ((windows[:, 3], wrong), (torch.tensor([30, 30]), right)):
        with pytest.raises(ValueError, match="another one that replaces it"):
            tasks.replaced("skipgram", windows, far, others, right, answers)


def test_too_few_trigrams_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, corpus_file: Path) -> None:
    for name, value in {"MINED_TOKENS": 20_000, "MOST": 5, "TESTED_TOKENS": 20_000}.items():
        monkeypatch.setattr(text_multigrams, name, value)
    few = Cells(tmp_path, RUN, plan.default_plan(f"text:{corpus_file}", 256))
    with pytest.raises(ValueError, match="skip trigrams, 16 are needed"):
        task_prompts.task("skipgram", few)


def test_others_differ_from_what_they_replace() -> None:
    far = np.array([3, 3, 3, 5, 3, 5])
    assert (skipgram_prompts._others(far) != far).all()
