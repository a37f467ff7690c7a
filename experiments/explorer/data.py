"""What the explorer shows of a run, as plain data: what is committed or kept of it, and what is measured where missing.

Numbers that were not measured are null. Intervals are 95%, as half their width.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import xarray as xr

from ablations.names import all_heads, head_name
from ablations.not_measurable import NotMeasurable
from circuits.json_values import without_nan
from experiments.claims import stages
from experiments.explorer import circuit_data, links, live, token_map_data
from experiments.heldout import head_types
from experiments.jobs.job import Job
from experiments.measurements import variants
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.predictions import PREDICTIONS
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import margin
from experiments.storage.files import read_json
from llc.intervals import half_widths

ATTENTION = ("previous_token", "current_token", "prefix_matching")
DIGITS = 5  # that numbers of tables keep


def missing(cells: Cells) -> list[Job]:
    """All that `gather` needs and that is neither committed nor kept, as jobs."""
    jobs = cells.missing_tables([SCORES, PREDICTIONS, INDUCTION_HEADS])
    jobs += cells.missing_tables([RLLC], variants.few_steps(cells))
    return [*jobs, *circuit_data.missing(cells)]


def gather(cells: Cells) -> dict[str, Any]:
    """Everything that the page is made of, as JSON values.

    A part that the run or its text does not allow to measure is {"reason": one sentence}.
    """
    run = cells.run
    parts: dict[str, Callable[[Cells], Any]] = {
        "rllc": _rllc,
        "scores": _scores,
        "stages": _stages,
        "circuit": circuit_data.of_run,
        "live": live.of_run,
        "map": token_map_data.of_run,
    }
    whole = {
        "name": run.name,
        "corpus": cells.plan.corpus,
        "note": run.corpus_note(cells.inputs.corpus),
        "steps": run.steps,
        "tokens": listed(tokens_seen(run, run.steps)),
        "history": _history(cells),
        "heads": _heads(cells),
        "types": _types(cells),
        "links": links.of_folder(cells),
    }
    return without_nan(whole | {name: _allowed(part, cells) for name, part in parts.items()})


def _allowed(part: Callable[[Cells], Any], cells: Cells) -> Any:
    try:
        return part(cells)
    except NotMeasurable as error:
        return {"reason": str(error)}


def _history(cells: Cells) -> dict[str, list[float]]:
    """tokens (millions), loss (nats per token, of the training text) as they were noted; empty for adopted models."""
    path = cells.run.folder / "history.json"
    noted = read_json(path) if path.is_file() else []
    steps = [entry["step"] for entry in noted]
    return {"tokens": listed(tokens_seen(cells.run, steps)), "loss": listed([entry["loss"] for entry in noted])}


def _heads(cells: Cells) -> list[dict[str, Any]]:
    """name, layer, head, and type where it is known, of the last checkpoint."""
    types = head_types.labels(cells, cells.run.steps[-1])
    every = all_heads(cells.run.model_config())
    return [
        {"name": head_name(one), "layer": one[0], "head": one[1], "type": types.get(head_name(one), "")}
        for one in every
    ]


def _types(cells: Cells) -> dict[str, dict[str, str]]:
    """Types by head, by the checkpoints at which they are known."""
    known = {str(step): head_types.labels(cells, step) for step in cells.run.steps}
    return {step: types for step, types in known.items() if types}


def _scores(cells: Cells) -> dict[str, Any]:
    """loss [step] with loss_half, and each attention score [head, step] with its _half; steps are all of the run."""
    table = cells.table(SCORES)
    found: dict[str, Any] = {"loss": listed(table.loss), "loss_half": listed(margin(table, "loss"))}
    for name in ATTENTION:
        found[name] = listed(table[name].transpose("restriction", "step"))
        found[f"{name}_half"] = listed(margin(table, name).transpose("restriction", "step"))
    return found


def _rllc(cells: Cells) -> dict[str, Any]:
    """Learning coefficients by gauge: trained, and balanced where it was sampled: steps, value and half [head, step],
    verdict [head, step].
    """
    by_gauge = {"trained": _sampled(cells)}
    if cells.plan.gauge == "trained":
        with suppress(NotMeasurable):  # where nobody has sampled it, the page shows the other alone
            by_gauge["balanced"] = _sampled(variants.in_way(cells, variants.BALANCED))
    return by_gauge


def _sampled(cells: Cells) -> dict[str, Any]:
    table = cells.assembled(RLLC)
    table = table.isel(step=(table.verdict != "").any("restriction").values.nonzero()[0])
    columns = {"value": table["value"], "half": half_widths(table)}
    found: dict[str, Any] = {name: listed(values.transpose("restriction", "step")) for name, values in columns.items()}
    found["verdict"] = table.verdict.transpose("restriction", "step").values.tolist()
    settings = f"{cells.plan.llc.name} settings{cells.plan.of_others}"
    return found | {"steps": table.step.values.tolist(), "settings": settings}


def _stages(cells: Cells) -> list[dict[str, Any]]:
    """name, tokens (millions) and the interval's low and high of the onset of each stage that has one.

    Raises NotMeasurable for one layer.
    """
    if cells.run.config["model"]["n_layers"] < 2:
        raise NotMeasurable("the run has 1 layer: no head can match prefixes, which is the last stage")
    risen = stages.rises(stages.curves_of(cells), stages.SHARES["onset"])
    ends = [listed(tokens_seen(cells.run, list(one[:3]))) for one in risen]
    named = zip(stages.SCORE_NAMES, ends, strict=True)
    return [
        {"name": name, "tokens": at, "low": low, "high": high} for name, (at, low, high) in named if np.isfinite(at)
    ]


def listed(values: Any) -> list[Any]:
    """Numbers as lists, with five significant digits."""
    array = np.asarray(values.values if isinstance(values, xr.DataArray) else values, dtype=np.float64)
    return np.vectorize(lambda number: float(f"{number:.{DIGITS}g}"), otypes=[float])(array).tolist()
