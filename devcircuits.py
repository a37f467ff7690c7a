"""All that one begins with, under one name: `import devcircuits as dc`.

    Investigation             a run looked at: inv["L1H4"] is a head's card, inv.on("some text") that text,
                              inv.circuit("induction") what carries a task, inv.compare("L1H4", "L1H5") two heads
    compare                   two runs, or two investigations, head by head
    across                    one task's circuit in several runs: which paths are in every one
    open_run, adopt           a training run with its checkpoints; a run made of models of one's own
    ablate                    heads and paths removed from any model by name, in one call
    heads, cut, parse_path    the same as hooks: interventions on whole heads (a module), on paths, and paths by name
    token_effects             what hooks of one's own cost on every token
    sample, health            learning coefficients: chains, and their value with error and verdict
    QUICK, MINI, PAPER        settings of chains
    Task, path_effects        a task (prompts, corrupted ones, answers), and which paths carry it

Every name is one of the packages `experiments`, `ablations`, `llc` and `circuits`, which hold all the others. Nothing
is loaded before it is asked for.

Example:

    >>> import devcircuits as dc
    >>> run = dc.open_run("mini-seed0")
    >>> model = run.model(run.steps[-1])
    >>> removed = dc.ablate(model, "alpha beta gamma alpha beta", ["L1H4", "L0H5->L1H4.k"], method="zero")
    >>> removed.names, removed.way
    (('L1H4', 'L0H5->L1H4.k'), 'functions')
    >>> bool(removed.effect[0].max() > 3)  # nats: the head is what repeats the text
    True
"""

import importlib
from typing import TYPE_CHECKING, Any

from experiments import __version__ as __version__

if TYPE_CHECKING:
    from ablations import heads
    from ablations.effects import token_effects
    from ablations.paths import cut, parse_path
    from ablations.removal import ablate
    from circuits.discover import path_effects
    from circuits.tasks import Task
    from experiments.investigate.circuits_across import across
    from experiments.investigate.investigation import Investigation, compare
    from experiments.runs.adopt import adopt
    from experiments.runs.run import open_run
    from llc.diagnose import health
    from llc.engine import sample
    from llc.settings import MINI, PAPER, QUICK

__all__ = [
    "MINI",
    "PAPER",
    "QUICK",
    "Investigation",
    "Task",
    "ablate",
    "across",
    "adopt",
    "compare",
    "cut",
    "heads",
    "health",
    "open_run",
    "parse_path",
    "path_effects",
    "sample",
    "token_effects",
]

_HOMES = {
    "MINI": "llc.settings",
    "PAPER": "llc.settings",
    "QUICK": "llc.settings",
    "Investigation": "experiments.investigate.investigation",
    "Task": "circuits.tasks",
    "ablate": "ablations.removal",
    "across": "experiments.investigate.circuits_across",
    "adopt": "experiments.runs.adopt",
    "compare": "experiments.investigate.investigation",
    "cut": "ablations.paths",
    "heads": "ablations.heads",
    "health": "llc.diagnose",
    "open_run": "experiments.runs.run",
    "parse_path": "ablations.paths",
    "path_effects": "circuits.discover",
    "sample": "llc.engine",
    "token_effects": "ablations.effects",
}
_MODULES = {"heads"}  # names that are modules themselves

if not TYPE_CHECKING:  # a type checker would take every name for one that is here

    def __getattr__(name: str) -> Any:
        """The name from the module that holds it."""
        if name in _HOMES:
            home = importlib.import_module(_HOMES[name])
            return home if name in _MODULES else getattr(home, name)
        raise AttributeError(f"module 'devcircuits' has no attribute {name!r}: it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
