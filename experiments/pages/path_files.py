"""What patching the paths of some heads does to a task, in words and as a table: a part of a model, so no circuit."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from experiments.results.cells import Cells
from experiments.results.file_names import of_heads, variant
from experiments.statistics.intervals import give_or_take, reach
from experiments.storage.files import write_bytes

COLUMNS = ["effect", "se", "read", "scale", "p", "found"]


def frame(measured: xr.Dataset) -> pd.DataFrame:
    """One row per path of a table of `path_effects`, largest effect first: effect (of the task's logit difference), se,
    half_width (of its 95% interval over prompts, by Student's t), read, scale, p, found.
    """
    table = measured[COLUMNS].to_dataframe()[COLUMNS].reset_index(names="path")
    table.insert(3, "half_width", reach(measured.attrs["prompts"] - 1) * table.se)
    return table.reindex(table.effect.abs().sort_values(ascending=False, kind="stable").index)


def as_text(measured: xr.Dataset, task: str, heads: Sequence[str], top: int) -> str:
    """What was measured, and the `top` strongest paths, for a terminal."""
    table = frame(measured)
    lines = [
        f"task {task}, step {int(measured.step)}: logit difference {float(measured.clean):.2f} on "
        f"{measured.attrs['prompts']} clean prompts, {float(measured.corrupted):.2f} on corrupted ones; right answers "
        f"{100 * float(measured.accuracy):.0f}%",
        f"{int(table.found.sum())} of the {len(table)} paths from and into {', '.join(heads)} pass a false-discovery "
        "rate of 5% (among these alone)",
        "effect of patching one path, with its 95% interval over prompts, negative where the path carries the task; "
        "for found paths the part of it that the target reads, and the part that goes through its layer norm's scale",
    ]
    for row in table.head(top).to_dict("records"):
        effect = give_or_take(row["effect"], row["half_width"], 2)
        parts = "".join(f"{row[name]:>8.2f}" if pd.notna(row[name]) else " " * 8 for name in ("read", "scale"))
        lines.append(f"{row['path']:16}{effect:>15}{parts}  {'found' if row['found'] else ''}".rstrip())
    return "\n".join(lines)


def write(cells: Cells, measured: xr.Dataset, task: str, heads: Sequence[str]) -> Path:
    """Writes tables/circuit_TASK_STEP_HEADS.csv; returns its path."""
    name = f"circuit_{task}_{int(measured.step)}{variant(cells.run, cells.plan)}{of_heads(heads)}.csv"
    write_bytes(cells.folder / "tables" / name, frame(measured).to_csv(index=False, float_format="%.6g").encode())
    return cells.folder / "tables" / name
