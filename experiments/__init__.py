"""Runs over training: their models and texts, what is measured on them, and who shows it.

What a user begins with stands here; each name is imported when it is first asked for, so that the command line stays
fast.

Example:
    >>> from experiments import Cells, default_plan, open_run
    >>> run = open_run("mini-seed0")
    >>> cells = Cells("results/mini-seed0", run, default_plan("python", 256))
    >>> run.steps[-1], cells.plan.llc.name
    (28000, 'QUICK')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import warn

if TYPE_CHECKING:
    from experiments.corpora.corpus import Corpus as Corpus
    from experiments.corpora.corpus import load as load_corpus
    from experiments.investigate.investigation import Investigation as Investigation
    from experiments.results.cells import Cells as Cells
    from experiments.results.inputs import Inputs as Inputs
    from experiments.results.kind import Kind as Kind
    from experiments.results.plan import Plan as Plan
    from experiments.results.plan import default_plan as default_plan
    from experiments.runs.hub import checkpoints as checkpoints
    from experiments.runs.run import Run as Run
    from experiments.runs.run import open_run as open_run

_HOMES = {
    "Cells": "results.cells",
    "Corpus": "corpora.corpus",
    "Inputs": "results.inputs",
    "Investigation": "investigate.investigation",
    "Kind": "results.kind",
    "Plan": "results.plan",
    "Run": "runs.run",
    "checkpoints": "runs.hub",
    "default_plan": "results.plan",
    "load_corpus": "corpora.corpus",
    "open_run": "runs.run",
}
_RENAMED = {"cells": "results.cells", "plan": "results.plan", "hub": "runs.hub"}  # documented modules that moved

__version__ = "0.1.0"  # pyproject.toml's, without reading it

__all__ = [
    "Cells",
    "Corpus",
    "Inputs",
    "Investigation",
    "Kind",
    "Plan",
    "Run",
    "checkpoints",
    "default_plan",
    "load_corpus",
    "open_run",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = import_module(f"experiments.{_HOMES[name]}")
        return module.load if name == "load_corpus" else getattr(module, name)
    if name in _RENAMED:
        home = f"experiments.{_RENAMED[name]}"
        warn(f"experiments.{name} is {home} now: import it from there", DeprecationWarning, stacklevel=2)
        return import_module(home)
    raise AttributeError(f"module 'experiments' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
