"""The examples of the functions that a user begins with: each stands alone, and prints what it says."""

import doctest
from collections.abc import Callable
from types import ModuleType

import pytest

import llc
from llc import calibrate, chains, diagnose, engine, estimate, gauge, losses, restrict

pytestmark = pytest.mark.both_majors

WITH_EXAMPLES = [
    llc,
    engine.sample,
    diagnose.health,
    estimate.learning_coefficient,
    losses.kl_to,
    restrict.parse,
    gauge.balanced,
    chains.sample_function,
    calibrate.grid,
]


def failures(documented: Callable | ModuleType, changed: tuple[str, str] = ("", "")) -> tuple[int, int]:
    """Examples in a docstring that print something else, and all; they run in a namespace of their own.

    changed: text of the docstring, and what stands in its place.
    """
    source = documented.__doc__.replace(*changed)
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(doctest.DocTestParser().get_doctest(source, {}, documented.__name__, None, None), out=lambda text: None)
    return runner.failures, runner.tries


@pytest.mark.parametrize("documented", WITH_EXAMPLES, ids=lambda documented: documented.__name__)
def test_an_example_prints_what_it_says(documented: Callable | ModuleType) -> None:
    failed, examples = failures(documented)
    assert examples > 2
    assert failed == 0


def test_negative_control_an_example_that_says_something_else_fails() -> None:
    assert failures(restrict.parse, changed=("torch.Size([608])", "torch.Size([609])"))[0] == 1
