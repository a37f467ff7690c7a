"""Interventions on heads and on the paths between them, and what they cost; how an attention-only model runs.

What one begins with stands here; each part is a module of its own, `from ablations import effects, heads, paths`.

    ablate                          removes heads or paths by name (zero, mean or resample ablation), on any model
    Change, parse_change            what is removed, as a value and from text: "L0H1+L0H5", "L0H5->L1H4.k"
    parse_head, head_name           "L1H4" and (1, 4)
    Path, parse_path, cut           paths between heads, and the hooks that cut them
    token_losses, token_effects     per-token losses under hooks of your own
    path_patching                   paths patched between clean and corrupted prompts
    models                          models of any kind: TransformerLens's of either version, tensors in a folder
    Configuration                   what a model computes apart from its weights
    NotMeasurable                   what is raised where a model or a text does not allow a measurement

Nothing is loaded before it is asked for.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablations import changed_losses as tables  # noqa: F401
    from ablations import forward as attention  # noqa: F401
    from ablations.changes import Change, parse_change
    from ablations.configuration import Configuration
    from ablations.effects import token_effects, token_losses
    from ablations.names import head_name, parse_head
    from ablations.not_measurable import NotMeasurable
    from ablations.patching import path_patching
    from ablations.paths import Path, cut, parse_path
    from ablations.removal import Ablated, ablate

__all__ = [
    "Ablated",
    "Change",
    "Configuration",
    "NotMeasurable",
    "Path",
    "ablate",
    "cut",
    "head_name",
    "parse_change",
    "parse_head",
    "parse_path",
    "path_patching",
    "token_effects",
    "token_losses",
]

_MODULES = {
    "Ablated": "removal",
    "Change": "changes",
    "Configuration": "configuration",
    "NotMeasurable": "not_measurable",
    "Path": "paths",
    "ablate": "removal",
    "cut": "paths",
    "head_name": "names",
    "parse_change": "changes",
    "parse_head": "names",
    "parse_path": "paths",
    "path_patching": "patching",
    "token_effects": "effects",
    "token_losses": "effects",
}
_RENAMED = {"attention": "forward", "tables": "changed_losses"}  # modules that were documented by other names

if not TYPE_CHECKING:  # a type checker would take every name for one that is here

    def __getattr__(name: str) -> Any:
        """The name from the module that holds it; documented old names of modules, with a DeprecationWarning."""
        if name in _MODULES:
            return getattr(importlib.import_module(f"ablations.{_MODULES[name]}"), name)
        if name in _RENAMED:
            warnings.warn(
                f"ablations.{name} is now ablations.{_RENAMED[name]}: use that name", DeprecationWarning, stacklevel=2
            )
            return importlib.import_module(f"ablations.{_RENAMED[name]}")
        raise AttributeError(f"module 'ablations' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
