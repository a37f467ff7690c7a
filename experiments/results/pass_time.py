"""How long a measurement takes here: one forward pass of the model is timed, and kinds say how many it amounts to.

What a change costs is what runs again after it: the later layers and the logits (`rerun`), by counted multiplications.
So an estimate fits models of any size on any machine, to about a factor of two, before anything was measured.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ablations import forward
from ablations.changes import Change, first_layer
from ablations.models import Config
from ablations.running import as_in_workers
from experiments.results.inputs import Inputs
from experiments.storage.recent import Recent

ROWS, TAKEN = 2, 3  # rows of a timed pass, and how often it is timed
_SECONDS: Recent[float] = Recent(8)


def seconds(inputs: Inputs, rows: float | int) -> float:
    """Seconds here, on one thread, of a forward pass and its losses over so many rows of the model's whole context."""
    return rows * _SECONDS.get(inputs.run.configuration, lambda: _timed(inputs))


@dataclass(frozen=True)
class Passes:
    """The `seconds` of a kind whose cells are all as long: those of a forward pass over so many rows."""

    rows: int

    def __call__(self, inputs: Inputs, parameters: object) -> float:
        return seconds(inputs, self.rows)


def of_changes(inputs: Inputs, changes: Iterable[Change], rows: float | int) -> float:
    """Seconds in which so many rows are run with each of these changes, one after another."""
    cfg = inputs.run.model_config()
    return seconds(inputs, rows * sum(rerun(cfg, first_layer(change, cfg)) for change in changes))


def rerun(cfg: Config, layer: int, logits: bool = True) -> float:
    """The share of a forward pass that runs again after a change in the heads of this layer (n_layers: in none).

    logits: of all tokens, or of none.
    """
    attention, mlp, unembed = _multiplications(cfg)
    after = max(0, cfg.n_layers - 1 - layer) * (attention + mlp) + (layer < cfg.n_layers) * mlp + logits * unembed
    return after / (cfg.n_layers * (attention + mlp) + unembed)


def _multiplications(cfg: Config) -> tuple[int, int, int]:
    """Of one token: in a layer's attention, in its MLP, and for its logits."""
    heads = cfg.n_heads * cfg.d_head
    mlp = 0 if cfg.attn_only else (2 + bool(cfg.gated_mlp)) * cfg.d_model * (cfg.d_mlp or 0)
    return 4 * cfg.d_model * heads + 2 * cfg.n_ctx * heads, mlp, cfg.d_model * cfg.d_vocab


def _timed(inputs: Inputs) -> float:
    """Seconds of a row; the shortest of some passes, since whatever else the machine does makes them longer."""
    model, took = inputs.model(inputs.run.steps[-1]), []
    cfg, weights = model.cfg, forward.weights_of(model)
    tokens = torch.arange(ROWS * cfg.n_ctx).view(ROWS, -1) % cfg.d_vocab
    with as_in_workers(), torch.no_grad():
        for _ in range(TAKEN):
            start = time.perf_counter()
            if forward.unsupported(cfg):
                model(tokens)
            else:
                residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, tokens), 0, cfg.n_layers)
                forward.token_losses(weights, cfg, residual, tokens)
            took.append(time.perf_counter() - start)
    return min(took) / ROWS
