"""Tasks of text: the same as of tensors, each prompt measured as if alone, and each refusal in one line."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ablations import forward
from circuits import discover, planted, task_text, tasks
from circuits.other_answers import other_answers
from circuits.planted import BOS, VOCABULARY
from circuits.task_text import Encoder
from circuits.tasks import Task

WORDS = {"<|endoftext|>": BOS} | {f"t{number}": number for number in range(1, VOCABULARY)}
PLANT = planted.induction()


def tokenizer_of(words: dict[str, int] = WORDS) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(words))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def fast(side: str) -> PreTrainedTokenizerFast:
    first = "<|endoftext|>"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_of(), bos_token=first, eos_token=first, pad_token=first, padding_side=side
    )


def text(tokens: list[int]) -> str:
    return " ".join(f"t{token}" for token in tokens if token != BOS)


def texts_of(task: Task, starts: list[int]) -> tuple[list[str], list[str], list[str], list[str]]:
    """The prompts as text, each from its start on; answers."""
    each = list(enumerate(starts))
    prompts = ([text(rows[row, start:].tolist()) for row, start in each] for rows in (task.clean, task.corrupted))
    right, wrong = ([f"t{int(answers[row])}" for row, _ in each] for answers in (task.right, task.wrong))
    return *prompts, right, wrong


def uneven() -> Task:
    """Prompts of the plant that begin later, the answer being where it was."""
    task = PLANT.tasks[0]
    differ = (task.clean != task.corrupted).int().argmax(1).tolist()  # the first occurrence of what is repeated
    starts = [min(place, number % 4 + 1) for number, place in enumerate(differ[:12])]
    return Task.from_strings(*texts_of(task, starts), tokenizer_of(), name="uneven")


def alone(task: Task, row: int) -> Task:
    """One prompt of it without what fills it up."""
    end = int(task.lengths[row])
    return Task("alone", *(one[[row]] for one in task[1:5]))._replace(
        clean=task.clean[[row], :end], corrupted=task.corrupted[[row], :end]
    )


def test_text_gives_the_task_of_tensors() -> None:
    task = PLANT.tasks[0]
    model = planted.induction().model
    for tokenizer in (tokenizer_of(), fast("left"), fast("right"), model):
        model.tokenizer = fast("right")
        made = Task.from_strings(*texts_of(task, [0] * len(task.clean)), tokenizer, name="repeats")
        assert made.name == "repeats" and made.lengths is None
        assert all(torch.equal(getattr(made, name), getattr(task, name)) for name in Task._fields[1:5])
    effects = [discover.path_effects(PLANT.model, one).effect for one in (task, made)]
    assert np.array_equal(*effects)


def test_uneven_prompts_are_measured_as_if_alone() -> None:
    task = uneven()
    assert len(set(task.lengths.tolist())) > 2
    weights, cfg = forward.weights_of(PLANT.model), PLANT.model.cfg
    paths = discover.candidates(cfg)
    together = discover.path_effects(PLANT.model, task)
    estimated = discover.attribution(weights, cfg, task, paths, steps=2)
    for row in range(len(task.clean)):
        single = discover.path_effects(PLANT.model, alone(task, row))
        assert np.allclose(together.effect[:, row], single.effect[:, 0], atol=1e-3)
        assert np.allclose(
            [together.clean[row], together.corrupted[row]], [single.clean[0], single.corrupted[0]], atol=1e-3
        )
        by_gradients = discover.attribution(weights, cfg, alone(task, row), paths, steps=2)
        assert np.allclose(estimated.effect[:, row], by_gradients.effect[:, 0], atol=1e-3)
    assert tasks.accuracy(task, PLANT.model(task.clean)) == 1.0
    found = {path for path, at in zip(paths, discover.significant(together.p), strict=True) if at}
    assert found <= PLANT.edges[0]

    forgotten = task._replace(lengths=None)  # the control: answers after what fills the prompts up
    assert not np.allclose(discover.path_effects(PLANT.model, forgotten).effect, together.effect, atol=0.1)
    assert tasks.accuracy(forgotten, PLANT.model(task.clean)) < 1.0


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_models_own_padding_changes_nothing(side: str) -> None:
    task, model = uneven(), planted.induction().model
    paths = sorted(PLANT.edges[0], key=str)
    expected = discover.path_effects(model, task, paths).effect
    model.tokenizer = fast(side)
    for way in ("functions", "hooks"):
        assert np.allclose(discover.path_effects(model, task, paths, way=way).effect, expected, atol=1e-3)
    assert (expected.mean(1) < -1).all()


def test_of_several_tokens_the_first_that_differs_counts() -> None:
    clean, corrupted = "t1 t2 t3", "t4 t2 t3"
    plain = Task.from_strings(clean, corrupted, "t5 t6", "t7", tokenizer_of())
    assert (plain.right.tolist(), plain.wrong.tolist()) == ([5], [7])
    shared = Task.from_strings(clean, corrupted, "t5 t6 t8", "t5 t7", tokenizer_of())
    assert shared.clean.tolist() == [[BOS, 1, 2, 3, 5]] and shared.corrupted.tolist() == [[BOS, 4, 2, 3, 5]]
    assert (shared.right.tolist(), shared.wrong.tolist()) == ([6], [7])


def test_texts_begin_as_the_tokenizer_says() -> None:
    own = tokenizer_of({"[bos]": 0, "[eos]": 1, "a": 2, "b": 3})
    own.post_processor = processors.TemplateProcessing(
        single=["[bos]", "$A", "[eos]"], special_tokens=[("[bos]", 0), ("[eos]", 1)]
    )
    own.enable_truncation(2)
    own.enable_padding()
    assert Task.from_strings("a b a", "b b a", "a", "b", own).clean.tolist() == [[0, 2, 3, 2]]
    without = Tokenizer(models.WordLevel({"a": 0, "b": 1}))
    without.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert Task.from_strings("a b", "b b", "a", "b", without).clean.tolist() == [[0, 1]]


def strings(*of: object) -> Callable[[], Task]:
    return lambda: Task.from_strings(*of, tokenizer_of())  # type: ignore[arg-type]


def short_model() -> Task:
    model = planted.induction().model
    model.tokenizer = fast("right")
    return Task.from_strings("t1 " * 12, "t2 " * 12, "t3", "t4", model)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (strings(["t1"], ["t2", "t3"], ["t4"], ["t5"]), "1 clean, 2 corrupted, 1 right, 1 wrong: give as many of each"),
        (strings([], [], [], []), "0 clean, 0 corrupted, 0 right, 0 wrong: give as many of each, at least one"),
        (
            strings(["t1", "t1 t2"], ["t2", "t3"], ["t4"] * 2, ["t5"] * 2),
            r"prompt 1: clean 't1 t2' is 3 tokens \['<.*>', 't1', 't2'\], corrupted 't3' 2 .* make both as long",
        ),
        (strings("t1", "t1", "t4", "t5"), r"prompt 0: clean and corrupted are the same tokens \['<.*>', 't1'\]"),
        (strings("t1", "t2", "t4", "t4 t5"), r"right 't4' is \['t4'\], wrong 't4 t5' \['t4', 't5'\]: one is the start"),
        (strings("t1", "t2", "t4", "t4"), "or both are the same; give answers that differ"),
        (strings(["t1"] * 2, ["t2"] * 2, ["t4"] * 2, ["t5"] * 2), "prompt 1: it is prompt 0 once more: leave it out"),
        (strings("", "t2", "t4", "t5"), "prompt 0: clean='': give text that is not empty"),
        (strings("t1", "t2", " ", "t5"), "right=' ': the tokenizer makes no token of it"),
        (strings("t1", "t2", "t99", "t5"), "right='t99': the tokenizer cannot encode it"),
        (lambda: Task.from_strings("a", "b", "c", "d", "gpt2"), "str encodes no text: give a tokenizer"),
        (lambda: Task.from_strings("a", "b", "c", "d", planted.induction().model), "the model has no tokenizer: give"),
        (short_model, "prompt 0: 13 tokens, and the model's context is 12: shorten the prompts"),
        (
            lambda: discover.path_effects(PLANT.model, uneven()._replace(lengths=torch.tensor([0] * 12))),
            "lengths=.*: give one of 1 to 12 tokens for each of the 12 prompts",
        ),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], object], line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        make()
    assert "\n" not in str(caught.value)


OF = task_text.encoder(tokenizer_of())
CLEAN, RIGHT = ["t1 t2", "t3 t2", "t4 t2", "t1 t2 t3", "t5 t2 t3"], ["t6", "t7", "t6", "t6", "t8"]


def swapped(of: Encoder = OF, seed: int = 0) -> list[tuple[str, str]]:
    return list(zip(*other_answers(of, CLEAN, RIGHT, seed), strict=True))


def test_other_answers_are_those_of_other_prompts() -> None:
    pairs = list(zip(CLEAN, RIGHT, strict=True))
    for (clean, right), (corrupted, wrong) in zip(pairs, swapped(), strict=True):
        assert (corrupted, wrong) in pairs and wrong != right
        assert len(corrupted.split()) == len(clean.split())
    assert swapped() == swapped()
    assert len({tuple(swapped(seed=seed)) for seed in range(8)}) > 1  # the control: it does depend on the seed
    task = Task.with_other_answers(CLEAN, RIGHT, tokenizer_of())
    assert task.wrong.tolist() == [int(wrong[1:]) for _, wrong in swapped()]


def test_interchanged_prompts_show_the_planted_circuit() -> None:
    clean, _, right, _ = texts_of(PLANT.tasks[0], [0] * 32)
    task = Task.with_other_answers(clean, right, tokenizer_of())
    effects = discover.path_effects(PLANT.model, task)
    passed = discover.significant(effects.p)
    found = {path for path, at in zip(effects.paths, passed, strict=True) if at}
    assert found >= PLANT.edges[0] and effects.clean.mean() > 4 > -4 > effects.corrupted.mean()
    removed = planted.induction(removed=True).model
    assert not discover.significant(discover.path_effects(removed, task).p).any()  # the control: no circuit, no path


@pytest.mark.parametrize(
    ("clean", "right", "line"),
    [
        (["t1", "t2"], ["t3", "t3"], "prompt 0: no other prompt of 1 tokens has another answer than 't3'; give one"),
        (["t1", "t2 t3"], ["t3", "t4"], "prompt 0: no other prompt of 1 tokens has another answer than 't3'"),
        (["t1", "t2"], ["t3", "t3 t4"], "no other prompt of 1 tokens has another answer than 't3'"),
        (["t1", "t1"], ["t3", "t4"], "no other prompt of 1 tokens"),
        (["t1"], ["t3", "t4"], "1 clean, 2 right: give as many of each"),
    ],
)
def test_where_there_is_no_other_answer(clean: list[str], right: list[str], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        Task.with_other_answers(clean, right, tokenizer_of())
