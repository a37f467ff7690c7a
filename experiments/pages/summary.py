"""The main job's numbers as summary.json and tables; no times, dates or paths, so the same work is the same bytes."""

import contextlib
import math
from pathlib import Path

import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.heldout import induction_tokens
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.kinds import MAIN_JOB
from experiments.measurements.paths import PATHS
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.file_names import variant
from experiments.results.plan import TRAINED
from experiments.statistics.intervals import bounds, degrees_of
from experiments.storage.files import write_bytes, write_json
from llc.intervals import half_widths

UNITS = {
    "loss": "nats per token, held-out text",
    "icl": (
        "nats per token: loss over the last eighth of the context minus loss over tokens n_ctx/8 to 3 n_ctx/16; "
        "more negative is more learning in context"
    ),
    "previous_token": "mean attention, 0 to 1, held-out text",
    "current_token": "mean attention, 0 to 1, held-out text",
    "prefix_matching": "mean attention, 0 to 1, random tokens that stand four times",
    "rllc": "nbeta times the mean loss rise, dimensionless; null at checkpoints where it was not sampled",
    "effect": "copy gain removed by cutting the path, nats per token, repeated random tokens; positive: the path helps",
    "se": "one standard error",
    "interval": "lower and upper end of the 95% confidence interval",
}


def summary(cells: Cells) -> dict:
    """The record that summary.json holds; its schema is checked by a test."""
    tables = {kind.name: cells.table(kind) for kind in (SCORES, PATHS, RLLC, INDUCTION_HEADS)}
    rllcs = "" if cells.plan.gauge == TRAINED else f"; rLLCs are of the {cells.plan.gauge} gauge"
    return {
        "schema": 1,
        "run": cells.run.name,
        "preset": cells.run.config["preset"]["name"],
        "data": {"name": cells.plan.corpus, "fingerprint": cells.inputs.corpus.fingerprint},
        "settings": cells.plan.record(),
        "units": UNITS,
        "weights": f"as trained, nothing folded; composition scores fold ln1 into the reading weights{rllcs}",
        "circuit": _circuit(tables["circuit"]),
        "affected": _affected(cells),
        "checkpoints": [_checkpoint(cells, tables, step) for step in cells.run.steps],
    }


def write_summary(cells: Cells) -> Path:
    """Writes summary.json; returns its path."""
    path = cells.folder / f"summary{variant(cells.run, cells.plan)}.json"
    write_json(path, summary(cells))
    return path


def write_tables(cells: Cells) -> list[Path]:
    """Writes one CSV per kind of cell (long form, without traces) and one of the induction head's most affected tokens.

    Returns the paths of all that were written.
    """
    written = []
    for kind in MAIN_JOB:
        table = cells.table(kind)
        plain = [name for name in table.data_vars if not str(name).startswith("trace_")]
        groups = _by_dims(table[plain])
        for dims, names in groups.items():
            frame = table[names].to_dataframe().reset_index().dropna(subset=names, how="all")
            others = [dim for dim in dims if dim != "step"]
            name = f"{kind.name}_by_{'_'.join(others)}" if len(groups) > 1 and others else kind.name
            path = cells.folder / "tables" / f"{name}{variant(cells.run, cells.plan)}.csv"
            write_bytes(path, frame.to_csv(index=False, float_format="%.9g").encode())
            written.append(path)
    with contextlib.suppress(NotMeasurable):  # where the text does not allow it
        kept = induction_tokens.table(cells).drop_vars(["mean", "mean_se", "mean_degrees"])
        frame = kept.to_dataframe().reset_index()
        written.append(cells.folder / "tables" / f"affected{variant(cells.run, cells.plan)}.csv")
        write_bytes(written[-1], frame.to_csv(index=False, float_format="%.9g").encode())
    return written


def _by_dims(table: xr.Dataset) -> dict[tuple, list]:
    """Names of variables, by the dimensions that they have."""
    groups: dict[tuple, list] = {}
    for name, variable in table.data_vars.items():
        groups.setdefault(variable.dims, []).append(name)
    return groups


def _checkpoint(cells: Cells, tables: dict[str, xr.Dataset], step: int) -> dict:
    scores, paths = tables["scores"].sel(step=step), tables["paths"].sel(step=step)
    rllc = tables["rllc"].sel(step=step) if step in tables["rllc"].step else None
    heads = {}
    for name in scores.restriction.values.tolist():
        at = scores.sel(restriction=name)
        attention = {score: _number(at[score]) for score in ("previous_token", "current_token", "prefix_matching")}
        heads[name] = {**attention, "rllc": _rllc(rllc.sel(restriction=name)) if rllc is not None else None}
    frame = paths[["effect", "effect_se", "effect_degrees"]].reset_coords(drop=True).to_dataframe().dropna()
    return {
        "step": step,
        "tokens": int(step * cells.run.tokens_per_step),
        "loss": _number(scores.loss),
        "icl": _number(scores.icl),
        "copy_gain": {text: _number(scores.copy_gain.sel(data=text)) for text in scores.data.values.tolist()},
        "heads": heads,
        "paths": [
            {
                **dict(zip(frame.index.names, place, strict=True)),
                "effect": effect,
                "se": se,
                "interval": _interval(effect, se, degrees),
            }
            for place, (effect, se, degrees) in zip(frame.index.tolist(), frame.values.tolist(), strict=True)
        ],
    }


def _rllc(at: xr.Dataset) -> dict:
    numbers = ("value", "se", "ess", "rhat", "value_all_draws", "virial", "temperature", "kappa", "noise_value")
    values: dict = {name: _number(at[name]) for name in numbers}
    half = half_widths(at)
    values["interval"] = [_number(at.value - half), _number(at.value + half)]
    words = {name: str(at[name].values) for name in ("verdict", "regime")}
    return values | words | {"bad_chains": int(at.bad_chains)}


def _circuit(table: xr.Dataset) -> dict:
    frame = table.isel(step=0, drop=True).to_dataframe().reset_index()
    cuts = frame.to_dict("records")
    return {"previous_token": table.attrs["previous"], "induction": table.attrs["induction"], "cuts": cuts}


def _affected(cells: Cells) -> dict | None:
    """The induction head's most affected tokens in numbers; None where the text does not allow to look for them."""
    try:
        effects = induction_tokens.table(cells)
    except NotMeasurable:
        return None
    means = {}
    for name in effects.change.values.tolist():
        at = effects.sel(change=name)
        interval = _interval(float(at["mean"]), float(at.mean_se), degrees_of(at, "mean"))
        means[name] = {"effect": _number(at["mean"]), "se": _number(at.mean_se), "interval": interval}
    repeated = {"repeated": float(effects.repeated.mean()), "repeated_of_all": effects.attrs["repeated_of_all"]}
    return {"tokens": effects.attrs["tokens"], "hits": effects.sizes["hit"], **repeated, "mean": means}


def _interval(value: float, se: float, degrees: float) -> list[float | None]:
    """Both ends of the 95% confidence interval; null where there is no error, as of a single document."""
    return [end if math.isfinite(end) else None for end in bounds(value, se, degrees)]


def _number(value: xr.DataArray) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
