"""The map of tokens at the last checkpoint, as findings hold it: small enough to be committed for bundled runs."""

import hashlib

import numpy as np
import xarray as xr

from experiments.measurements import susceptibilities
from experiments.measurements.susceptibilities import SUSCEPTIBILITIES, by_head, probe_rows, rank_correlations
from experiments.results.cells import Cells
from experiments.results.committed import without_traces
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, last_checkpoint
from llc import token_map


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """value and noise [restriction, token]: susceptibilities in the posterior and under Gaussian draws, with mean 0 and
    standard deviation 1 for each head, in half precision; agreement and noise_agreement [restriction], rank
    correlations over tokens of one half of the chains and draws with the other. The attribute `probes` names the
    tokens, so that runs on the same ones can be told.
    """
    for job in cells.missing_tables([SUSCEPTIBILITIES], steps=[step]):
        job.function(*job.arguments)
    found = cells.assembled(SUSCEPTIBILITIES).sel(step=step)
    data: dict = {}
    for name, half, agreement in (("value", "half", "agreement"), ("noise", "noise_half", "noise_agreement")):
        standard = token_map.standardised(by_head(found[name]))
        data[name] = (("restriction", "token"), standard.astype(np.float16))
        data[agreement] = ("restriction", rank_correlations(*(by_head(found[half].isel(part=part)) for part in (0, 1))))
    coords = {name: ("restriction", found[name].values) for name in ("restriction", "layer")}
    text = np.ascontiguousarray(probe_rows(inputs).tokens, dtype=np.int64)
    return xr.Dataset(data, coords, {"probes": hashlib.sha256(text.tobytes()).hexdigest()[:16]})


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds, where the susceptibilities are there."""
    return 2.0


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The kind, the text and the inverse temperature."""
    return f"token map, {inputs.plan.corpus}, nbeta {inputs.plan.llc.nbeta:g}"


TOKEN_MAP = Kind(
    "token_map",
    (1, *SUSCEPTIBILITIES.version),
    measure,
    splits=SUSCEPTIBILITIES.splits,
    steps=last_checkpoint,
    plan_fields=SUSCEPTIBILITIES.plan_fields,
    seconds=seconds,
    label=label,
    also=susceptibilities.key_parts,
    keeps=without_traces,
)
