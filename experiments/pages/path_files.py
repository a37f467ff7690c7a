"""What patching paths does to a task, in words and as a table: of some heads, which make no circuit by themselves."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from circuits import enough_prompts
from experiments.results.cells import Cells
from experiments.results.file_names import of_heads, variant
from experiments.statistics.intervals import give_or_take
from experiments.storage.files import write_bytes
from experiments.tasks import path_effects


def task_sentence(measured: xr.Dataset, task: str) -> str:
    """How well the model does the task at the table's step."""
    return (
        f"task {task}, step {int(measured.step)}: logit difference {float(measured.clean):.2f} on "
        f"{measured.attrs['prompts']} clean prompts, {float(measured.corrupted):.2f} on corrupted ones; right answers "
        f"{100 * float(measured.accuracy):.0f}%"
    )


def few_prompts(measured: xr.Dataset) -> list[str]:
    """What is to be said where there are too few prompts for effects to pass; nothing where there are enough."""
    effect, se, found = (measured[name].values for name in ("effect", "se", "found"))
    told = enough_prompts.note(effect, se, found, int(measured.attrs["prompts"]))
    return [f"Warning: {told}"] if told else []


def columns(row: Mapping[Hashable, Any]) -> str:
    """A path, its effect with the interval, and the parts that are read and that go through a norm's scale."""
    effect = give_or_take(row["effect"], row["half_width"], 2)
    parts = "".join(f"{row[name]:>8.2f}" if pd.notna(row[name]) else " " * 8 for name in ("read", "scale"))
    return f"{row['path']:16}{effect:>15}{parts}"


def as_text(measured: xr.Dataset, task: str, heads: Sequence[str], top: int) -> str:
    """What was measured, and the `top` strongest paths, for a terminal."""
    table = path_effects.frame(measured)
    lines = [
        task_sentence(measured, task),
        f"{int(table.found.sum())} of the {len(table)} paths from and into {', '.join(heads)} pass a false-discovery "
        "rate of 5% (among these alone)",
        *few_prompts(measured),
        "effect of patching one path, with its 95% confidence interval over prompts, negative where the path carries "
        "the task; "
        "for found paths the part of it that the target reads, and the part that goes through its layer norm's scale",
    ]
    rows = table.head(top).to_dict("records")
    return "\n".join([*lines, *(f"{columns(row)}  {'found' if row['found'] else ''}".rstrip() for row in rows)])


def write(cells: Cells, measured: xr.Dataset, task: str, heads: Sequence[str]) -> Path:
    """Writes tables/circuit_TASK_STEP_HEADS.csv; returns its path."""
    name = f"circuit_{task}_{int(measured.step)}{variant(cells.run, cells.plan)}{of_heads(heads)}.csv"
    path = cells.folder / "tables" / name
    write_bytes(path, path_effects.frame(measured).to_csv(index=False, float_format="%.6g").encode())
    return path
