"""What a run's models say on the same few inputs, at every step at which its weights are known."""

import numpy as np
import torch
import xarray as xr

from ablations import forward
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.runs.trajectory import holders

DIRECTIONS = 1024  # of the projection that is committed
ROWS, PLACES = 32, 4  # rows of held-out text, and places in each whose next token's logits are kept


def places(n_ctx: int) -> list[int]:
    """Evenly spaced, the last one at the end of the context."""
    return [n_ctx * (number + 1) // PLACES - 1 for number in range(min(PLACES, n_ctx))]


def measure(inputs: Inputs, step: None, cells: Cells) -> xr.Dataset:
    """logits [step, input, token] after the text before each place, less their mean over tokens, which says nothing."""
    kept, found = places(inputs.n_ctx), holders(inputs.run)
    rows = inputs.corpus.take(ROWS).batch(slice(None))
    logits = []
    for at, run in found.items():
        model = run.bare_model(at)
        with torch.no_grad():
            said = forward.logits(forward.weights_of(model), model.cfg, rows)[:, kept]
        logits.append((said - said.mean(-1, keepdim=True)).flatten(0, 1).numpy().astype(np.float32))
    return xr.Dataset({"logits": (("step", "input", "token"), np.stack(logits))}, {"step": list(found)})


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """The weights of all steps, what they compute, and the inputs."""
    weights = {str(at): run.model_digest(at) for at, run in holders(inputs.run).items()}
    return {"trajectory": weights, "computes": inputs.run.configuration.record(), "inputs": [ROWS, PLACES]}


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds: a forward pass over all rows at every step."""
    return pass_time.seconds(inputs, float(ROWS * len(holders(inputs.run))))


def projected(table: xr.Dataset) -> xr.Dataset:
    """logits [step, direction]: on fixed random directions, the same for every run with the same inputs and tokens, in
    16 bits. Distances between steps keep their lengths to about 3% (Johnson and Lindenstrauss 1984); what is projected
    already is given back.
    """
    if "direction" in table.logits.dims:
        return table
    outputs = table.logits.values.reshape(table.sizes["step"], -1)
    signs = np.random.default_rng(0).integers(0, 2, (outputs.shape[1], DIRECTIONS), dtype=np.int8)
    on_directions = outputs @ (2.0 * signs - 1).astype(np.float32) / np.sqrt(DIRECTIONS)
    return xr.Dataset(
        {"logits": (("step", "direction"), on_directions.astype(np.float16))}, {"step": table.step}, table.attrs
    )


LOGITS = Kind("logits", (1,), measure, steps=None, seconds=seconds, also=key_parts, keeps=projected)
