"""The paper's figures, one file each: compute(run, results, settings) -> Dataset; draw(Dataset) -> Figure; CAPTION."""

from types import ModuleType

from experiments.figures import compositions, induction, paths, rllcs, traces

FIGURES: dict[str, ModuleType] = {
    "rllcs": rllcs,
    "induction": induction,
    "compositions": compositions,
    "paths": paths,
    "traces": traces,
}


def get(name: str) -> ModuleType:
    """The figure of this name; raises ValueError for an unknown one."""
    if name not in FIGURES:
        raise ValueError(f"unknown figure {name!r}: choose one of {', '.join(FIGURES)}")
    return FIGURES[name]
