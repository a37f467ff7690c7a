"""Training runs: their checkpoints, how they are trained, and how models from elsewhere become one.

Nothing is loaded before it is asked for, so that the command line can refuse a wrong name at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.runs.run import ZOO, Run, checkpoint_path, export, open_run, tokenizer_of, write_checkpoint

__all__ = ["ZOO", "Run", "checkpoint_path", "export", "open_run", "tokenizer_of", "write_checkpoint"]

if not TYPE_CHECKING:  # a type checker would take every name for one that is here

    def __getattr__(name: str) -> Any:
        """The name from the module that holds it."""
        if name in __all__:
            return getattr(import_module("experiments.runs.run"), name)
        raise AttributeError(f"module 'experiments.runs' has no attribute {name!r}")
