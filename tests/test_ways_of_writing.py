"""Heads, paths, numbers and text as people write them: taken where the meaning is plain, else refused in one line."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import ablate, cut, forward, heads, path_patching, token_effects, token_losses
from ablations.names import as_head, as_heads, check_head
from ablations.paths import as_paths, parse_path
from circuits import Task, evaluate, path_effects
from experiments import open_run
from llc import QUICK, fisher_trace, restrict, sample
from tests.conftest import make_model

MODEL = make_model()
WEIGHTS, CFG = forward.weights_of(MODEL), MODEL.cfg
TOKENS = torch.randint(50, (4, 12), generator=torch.Generator().manual_seed(1))
TASK = Task("test", TOKENS, TOKENS.flip(0), TOKENS[:, 0], TOKENS[:, 1])
SHORT = replace(QUICK, num_draws=6, num_burnin=1)
ONE: list = [
    *("L1H2", ["L1H2"], ("1:2",), (1, 2), [(1, 2)], np.array([1, 2]), torch.tensor([1, 2]), [np.array([1, 2])]),
    *((np.int64(1), np.int32(2)), [(np.int64(1), torch.tensor(2))], {"L1H2": None}.keys()),
]


@pytest.mark.parametrize("written", ONE, ids=repr)
def test_one_head(written: object) -> None:
    assert as_heads(written) == [(1, 2)]  # type: ignore[arg-type]


def test_several_heads() -> None:
    for written in (["L1H2", (0, 1)], ((1, 2), "L0H1"), torch.tensor([[1, 2], [0, 1]]), np.array([[1, 2], [0, 1]])):
        assert as_heads(written) == [(1, 2), (0, 1)]  # type: ignore[arg-type]
    assert check_head("L1H2", CFG) == (1, 2)


@pytest.mark.parametrize("written", [1.5, (1, 2.5), "head", (1,), (1, 2, 3), None, (True, None)], ids=repr)
def test_what_is_no_head(written: object) -> None:
    with pytest.raises(ValueError, match=r"is not a head: (give its name|write it as)") as refusal:
        as_head(written)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_interventions_by_name() -> None:
    expected = token_effects(MODEL, TOKENS, heads.zero([(1, 2)]))
    by_values = heads.replace({"L1H2": torch.zeros(1)})
    for hooks in (heads.zero("L1H2"), heads.zero(["L1H2"]), heads.zero((1, 2)), by_values):
        torch.testing.assert_close(token_effects(MODEL, TOKENS, hooks), expected)
    assert expected.abs().max() > 1e-3
    mean = heads.mean_z(MODEL, "L1H2", TOKENS)
    torch.testing.assert_close(mean[1, 2], heads.mean_z(MODEL, [(1, 2)], TOKENS)[1, 2])
    path = parse_path("L0H1->L1H2.k")
    by_name, by_value = (token_effects(MODEL, TOKENS, cut(MODEL, what)) for what in ("L0H1->L1H2.k", [path]))
    torch.testing.assert_close(by_name, by_value)
    assert as_paths(["L0H1->L1H2.k", path]) == [path, path]
    with pytest.raises(ValueError, match="3 is not a path"):
        as_paths([3])  # type: ignore[list-item]


def test_paths_of_tasks_by_name() -> None:
    path = parse_path("L0H1->L1H2.k")
    by_value = path_effects(MODEL, TASK, [path])
    for written in ("L0H1->L1H2.k", ["L0H1->L1H2.k"]):
        np.testing.assert_array_equal(path_effects(MODEL, TASK, written).effect, by_value.effect)
    assert evaluate(WEIGHTS, CFG, TASK, ["L0H1->L1H2.k"]) == evaluate(WEIGHTS, CFG, TASK, [path])
    for sets in (["L0H1->L1H2.k"], [["L0H1->L1H2.k"]], [[path]]):
        patched = path_patching(MODEL, TOKENS, TOKENS.flip(0), sets, lambda logits: logits[:, -1, 3])
        assert patched.effect.shape == (1, 4)


def test_one_restriction_is_its_name() -> None:
    one, several = (sample(MODEL, TOKENS, what, settings=SHORT, seed=0) for what in ("L0H1", ["L0H1"]))
    assert one["L0H1"].equals(several["L0H1"])
    assert set(fisher_trace.fisher_trace(MODEL, TOKENS, "L0H1", seed=0)) == {"L0H1"}
    with pytest.raises(ValueError, match=r"restriction \(0, 1\) is no text: name it"):
        restrict.parse_all([(0, 1)], WEIGHTS, CFG)


NUMBERS = """
import numpy as np, torch
from llc.settings import QUICK, Settings, from_json
for real, whole in ((np.float64, np.int64), (np.array, np.array), (torch.tensor, torch.tensor)):
    written = Settings("QUICK", real(1e-3), real(30.0), 200, whole(2), whole(2), whole(70), np.int32(30))
    assert from_json(written.to_json()) == written and (written.nbeta, written.num_draws) == (30.0, 70), written
wrong = (("batch_size", 2.5, "whole number"), ("num_draws", "many", "whole number"), ("lr", "x", "number"))
for field, value, kind in wrong:
    try:
        Settings(**(QUICK.__dict__ | {field: value}))
    except ValueError as error:
        assert f"{field}={value!r}: it must be a {kind}" == str(error), error
    else:
        raise AssertionError(field)
"""


def test_numbers_of_numpy_and_torch_in_settings() -> None:
    """Without the type checker of the tests, as users have it."""
    subprocess.run([sys.executable, "-c", NUMBERS], cwd=Path(__file__).parents[1], check=True)


@pytest.mark.parametrize("number", [np.int64, np.array, torch.tensor], ids=["int64", "0-d", "torch"])
def test_seeds_of_numpy_and_torch(number: Callable) -> None:
    seeded = sample(MODEL, TOKENS, "L0H1", settings=SHORT, seed=number(3))["L0H1"]
    expected = sample(MODEL, TOKENS, "L0H1", settings=SHORT, seed=3)["L0H1"]
    np.testing.assert_array_equal(seeded.loss, expected.loss)
    donors = TOKENS.flip(1)
    first, second = (
        ablate(MODEL, TOKENS, "L0H1", method="resample", reference=donors, draws=draws, seed=seed).effect
        for draws, seed in ((number(2), number(3)), (2, 3))
    )
    torch.testing.assert_close(first, second)


def test_prompts_as_strings() -> None:
    run = open_run("mini-seed0")
    model, text = run.model(run.steps[-1]), ["def add(a, b):\n    return a + b", "import os"]
    tokens = model.to_tokens(text)
    expected = ablate(model, tokens, "L1H4", method="zero")
    found = ablate(model, text, "L1H4", method="zero")
    torch.testing.assert_close(found.effect, expected.effect, equal_nan=True)
    alone = ablate(model, text[1], "L1H4", method="zero").effect[0, 0]
    torch.testing.assert_close(found.effect[0, 1, : len(alone)], alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(token_losses(model, text), token_losses(model, tokens), equal_nan=True)
    assert heads.mean_z(model, "L1H4", text)[1, 4].isfinite().all()
    with pytest.raises(ValueError, match="'some text' is text, and the model has no tokenizer"):
        token_losses(MODEL, "some text")
    for nothing in ("", []):
        with pytest.raises(ValueError, match="give text, several texts, or int64 tokens"):
            token_losses(model, nothing)
