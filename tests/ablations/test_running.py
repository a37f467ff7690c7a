"""Bars of public calls: shown to people alone, gone afterwards, and never inside jobs."""

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace

import pytest
import torch

from ablations import ablate, running
from circuits import path_effects
from circuits.tasks import Task
from experiments.jobs import runner
from llc import QUICK, fisher_trace, hessian_trace, sample, sample_function
from tests.conftest import make_model

MODEL = make_model()
TOKENS = torch.randint(50, (4, 12), generator=torch.Generator().manual_seed(1))
TASK = Task("test", TOKENS, TOKENS.flip(0), TOKENS[:, 0], TOKENS[:, 1])
SHORT = replace(QUICK, num_draws=6, num_burnin=1)
CALLS: dict[str, Callable[[], object]] = {  # what the bar is called, and a call that has it
    "chains of layer 0": lambda: sample(MODEL, TOKENS, ["L0H0"], settings=SHORT, seed=0),
    "chains of L0": lambda: sample(MODEL, TOKENS, ["L0"], settings=SHORT, seed=0),
    "chains of bowl": lambda: sample_function(
        lambda x, rows: (x**2).sum(1), torch.zeros(2), settings=SHORT, seed=0, name="bowl"
    ),
    "paths patched": lambda: path_effects(MODEL, TASK),
    "blocks of rows": lambda: ablate(MODEL, TOKENS, ["L0H0"], method="zero"),
    "Hessian products": lambda: hessian_trace.hessian_trace(MODEL, TOKENS, ["L0H0"], seed=0, group=2, probes=1),
    "gradients of rows": lambda: fisher_trace.fisher_trace(MODEL, TOKENS, ["L0H0"], seed=0),
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PATIENCE", 0.0)


def told(call: Callable[[], object], stderr: io.StringIO | None = None) -> str:
    """What the call writes on stderr, a terminal unless given."""
    with redirect_stderr(stderr or Terminal()) as written:
        call()
    return written.getvalue()


@pytest.mark.parametrize("name", CALLS)
def test_a_long_call_shows_how_far_it_is(name: str) -> None:
    shown = told(CALLS[name])
    assert f"\r{name}:   0%" in shown
    assert shown.split("\r")[-2].strip() == "", "the bar is gone afterwards"


@pytest.mark.parametrize("name", CALLS)
def test_jobs_and_files_have_no_bars(name: str) -> None:
    assert told(lambda: runner.work(lambda: CALLS[name]() and None, ())) == ""
    assert told(CALLS[name], io.StringIO()) == "", "this is no terminal"


def test_what_is_short_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PATIENCE", 60.0)
    assert told(CALLS["chains of layer 0"]) == ""


def test_quiet_ends_with_its_block_also_after_an_error() -> None:
    def items() -> None:
        assert [*running.tracked([1, 2], "items")] == [1, 2]

    def failing() -> None:
        with pytest.raises(RuntimeError), running.quietly():
            items()
            raise RuntimeError

    assert told(failing) == ""
    assert "items" in told(items)
