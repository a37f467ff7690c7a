"""What else does the task of a circuit, and how faithful circuits of every size are: in words, and as a picture."""

from typing import NamedTuple

import xarray as xr

from circuits.tasks import Task
from experiments.results.cells import Cells
from experiments.tasks import curves, rivals

CAPTION = (
    "Faithfulness of circuits of growing size (a log axis; 1: the model, 0: every path patched), paths coming in by "
    "their scores. Left: what carries the task most comes first (CPR: the area under the curve, over the share of all "
    "paths; large is good). Right: the largest magnitudes come first (CMD: the area between the curve and 1; small is "
    "good). Both areas are those of MIB, on more sizes; path magnitude: how large what the source "
    "writes more on corrupted prompts is as the target reads it; random: the mean of three orders."
)


class Compared(NamedTuple):
    """Tables of `experiments.tasks.rivals` and `.curves`."""

    rivals: xr.Dataset
    curves: xr.Dataset


def compared(cells: Cells, task: str | Task, step: int) -> Compared:
    """What is missing is computed here; raises NotMeasurable where the model does not do the task."""
    return Compared(rivals.table(cells, task, step), curves.table(cells, task, step))


def sentences(found: Compared) -> list[str]:
    """Plain text without full stops."""
    return [_rivals(found.rivals), _curves(found.curves)]


def _rivals(table: xr.Dataset) -> str:
    if table.attrs["untested"]:
        return f"Rivals were not looked for: {table.attrs['untested']}"
    parts, needed = [], int(table.needed.sum())
    for name, words in (
        ("disjoint", "shares no path with it"),
        ("without_strongest", "does without the strongest that can be replaced"),
    ):
        paths = table.path.values[table[name].values].tolist()
        faithful = float(table.faithfulness.sel(rival=name))
        if bool(table.found.sel(rival=name)):
            parts.append(f"one that {words} has {len(paths)} paths and faithfulness {faithful:.2f} ({_listed(paths)})")
        else:
            parts.append(f"none {words} (all {len(paths)} allowed paths together: {faithful:.2f})")
    return (
        f"Rivals, faithful to {table.attrs['faithful']:g} or better: {'; '.join(parts)}. Without {needed} of its "
        f"{table.attrs['circuit']} paths no circuit does the task; the others can be replaced"
    )


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")


def _curves(table: xr.Dataset) -> str:
    areas = (
        f"{order} {float(table.cpr.sel(order=order)):.2f} and {float(table.cmd.sel(order=order)):.2f}"
        for order in table.order.values.tolist()
    )
    return f"CPR (larger is better) and CMD (smaller is better): {', '.join(areas)}"
