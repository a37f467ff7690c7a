"""Scores, head types, composition, and the circuits they make.

What one begins with stands here; each part is a module of its own, `from circuits import discover`.

    Task, logit_difference          a task: prompts, corrupted ones, answers; and how well a model does it
    path_effects, significant       which paths carry a task
    evaluate                        how good a set of paths is as a circuit
    circuit_graph, found_part       the circuit as a networkx graph
    Evidence, head_type             what a head is
    Plant                           a model with hand-set weights, whose circuit is known (`circuits.planted`)

Nothing is loaded before it is asked for.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits import discover_hooks as hooked  # noqa: F401
    from circuits import token_kinds as patterns  # noqa: F401
    from circuits.classify import Evidence, head_type
    from circuits.discover import evaluate, path_effects, significant
    from circuits.graph import circuit_graph, found_part
    from circuits.planted import Plant
    from circuits.tasks import Task, logit_difference

__all__ = [
    "Evidence",
    "Plant",
    "Task",
    "circuit_graph",
    "evaluate",
    "found_part",
    "head_type",
    "logit_difference",
    "path_effects",
    "significant",
]

_MODULES = {
    "Evidence": "classify",
    "Plant": "planted",
    "Task": "tasks",
    "circuit_graph": "graph",
    "evaluate": "discover",
    "found_part": "graph",
    "head_type": "classify",
    "logit_difference": "tasks",
    "path_effects": "discover",
    "significant": "discover",
}
_RENAMED = {"hooked": "discover_hooks", "patterns": "token_kinds"}  # modules that were documented by other names

if not TYPE_CHECKING:  # a type checker would take every name for one that is here

    def __getattr__(name: str) -> Any:
        """The name from the module that holds it; documented old names of modules, with a DeprecationWarning."""
        if name in _MODULES:
            return getattr(importlib.import_module(f"circuits.{_MODULES[name]}"), name)
        if name in _RENAMED:
            warnings.warn(
                f"circuits.{name} is now circuits.{_RENAMED[name]}: use that name", DeprecationWarning, stacklevel=2
            )
            return importlib.import_module(f"circuits.{_RENAMED[name]}")
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
