"""What the circuits of several runs have in common as files in the first run's results folder."""

import shlex
from pathlib import Path

from experiments.pages import saving
from experiments.pages.across_runs import page as layout
from experiments.pages.layout.page import Made
from experiments.results.cells import Cells
from experiments.results.file_names import flags, variant
from experiments.storage.files import write_bytes
from experiments.tasks.circuit_across import ManyCircuits, frame, heads_frame


def write(cells: Cells, many: ManyCircuits, top: int, asked: str = "") -> list[Path]:
    """Writes circuit_TASK_STEP_across as page (HTML, with the first `top` paths) and as tables of paths and of heads
    (CSV); returns all paths of files. asked: how the task was asked for, where not by its name.
    """
    name = f"circuit_{many.task}_{many.steps[0]}{variant(cells.run, cells.plan)}_across"
    tables = {f"{name}.csv": frame(many), f"{name}_heads.csv": heads_frame(many)}
    written = [cells.folder / "tables" / file for file in tables]
    for path, table in zip(written, tables.values(), strict=True):
        write_bytes(path, table.to_csv(index=False, float_format="%.6g").encode())
    made = Made(command(cells, many, asked), cells.run.name)
    return [*written, saving.save(layout.page(many, top, made), cells.folder / f"{name}.html", cells)]


def command(cells: Cells, many: ManyCircuits, asked: str = "") -> str:
    """The command line that makes the files again: without a step where each run is at its own last one."""
    step = f" --step {many.steps[0]}" if len(set(many.steps)) == 1 else ""
    others = "".join(f" --across {shlex.quote(run)}" for run in many.runs[1:])
    task = shlex.quote(asked or many.task)
    return f"devcircuits circuit --task {task} {flags(cells.run, cells.plan)}{step}{others}"
