"""Small models of developmental interpretability where theory has an answer, each measured with the project's samplers.

Each is a module (or the module `setting` of a folder, where it needs several ideas) with

    parts()            what is trained and measured, piece by piece (parts.Part), each kept as it is finished
    rows(measured)     the table: theory's or the paper's values beside what was measured, and controls (table.Row)
    draw(measured)     the figure
    CAPTION            what the figure shows

`measured` holds what every part returned, by the part's name. What was measured once is committed as
measured/NAME.json, so that table and figure need no training.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

MEASURED = Path(__file__).parent / "measured"


class Entry(NamedTuple):
    """A setting as the list shows it."""

    module: str  # below experiments.settings
    line: str


SETTINGS: dict[str, Entry] = {
    "known": Entry("known.setting", "normal crossings and tanh networks beside their published coefficients"),
    "superposition": Entry("superposition.setting", "the toy model's k-gons: training and posterior pass between them"),
    "deep-linear": Entry("deep_linear.setting", "a linear network learns rank by rank: saddles, exact coefficients"),
    "modular-addition": Entry("modular_addition.setting", "a network that groks (a + b) mod p; growth with p"),
    "sparse-parity": Entry("sparse_parity.setting", "parities learned one after another; the coefficient counts them"),
    "in-context-regression": Entry(
        "in_context_regression.setting", "transformers that learn to regress in context, or learn their tasks"
    ),
    "patterns": Entry("patterns.setting", "language models of texts with more and more patterns, and without any"),
}


def check(name: str) -> None:
    """Raises ValueError for the name of no setting; loads none."""
    if name not in SETTINGS:
        raise ValueError(f"unknown setting {name!r}: choose one of {', '.join(SETTINGS)}")


def get(name: str) -> ModuleType:
    """The setting of this name; raises ValueError for an unknown one."""
    check(name)
    return import_module(f"experiments.settings.{SETTINGS[name].module}")
