"""The paper's figures and ours, one file each: compute(cells) -> Dataset; draw(Dataset) -> Figure; CAPTION.

NEEDS are the kinds of cells that a figure rests on; `prepare(cells, executor)`, where there is one, computes the rest.
"""

from importlib import import_module
from types import ModuleType

FIGURES = ("rllcs", "induction", "compositions", "paths", "traces")  # of the main job
OF_TRACES = ("traces",)  # draw by draw, which the committed sweep does not keep
MORE = (
    "stages",
    "clustering",
    "memorization",
    "tokens-in-context",
    "induction-rllcs",
    "drllcs",
    "multigram-rllcs",
    "path-needs",
    "migration",
    "baselines",
    "regime",
    "susceptibilities",
    "embryo",
    "trajectory",
)


def check(name: str) -> None:
    """Raises ValueError for the name of no figure; loads none."""
    if name not in (*FIGURES, *MORE):
        raise ValueError(f"unknown figure {name!r}: choose one of {', '.join((*FIGURES, *MORE))}")


def get(name: str) -> ModuleType:
    """The figure of this name; raises ValueError for an unknown one."""
    check(name)
    return import_module(f"experiments.figures.{name.replace('-', '_')}")
