"""What cutting sets of earlier heads from the induction heads takes from their attention and from copying.

Beside `measure_circuit`: the attention itself, every sequence by itself, and two things in place of what a path carries
(a mean, other documents' values).
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations, product

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations import changed_losses, forward, rerun, substitutes
from ablations.changes import Change
from ablations.forward import Weights
from ablations.names import Head, head_name, parse_head
from ablations.paths import VIAS, Path
from ablations.rerun import Clean
from ablations.substitutes import Values
from circuits import induction, scores
from experiments.measurements import inputs as bench
from experiments.measurements.inputs import Bench
from experiments.results import cells
from experiments.results.cells import Cells
from experiments.storage.store import cached

METHODS = ("mean", "resample")
SEQUENCES = 64  # of repeated random tokens


def table(found: Cells, step: int) -> xr.Dataset:
    """At a checkpoint, for the heads that are previous-token and induction heads at the end (attrs), on repeated random
    tokens: attention_lost and gain_lost [method, sources, via, sequence], attention and gain [sequence].

    attention: mean over the induction heads of their attention to the token after the previous occurrence, between 0
    and 1. gain: how much cheaper the second copy is, nats per token. Lost: clean minus cut, positive where the path
    helps; cut from all induction heads at once, as many sources as there are previous-token heads.
    """
    attrs = found.table("circuit").attrs
    key = cells.key(found.on, "induction_cuts", step) | {"heads": [attrs["previous"], attrs["induction"]]}
    return cached(found.folder, key, partial(_measure, found.on, step, attrs["previous"], attrs["induction"]))


def matching_attention(
    weights: Weights,
    cfg: HookedTransformerConfig,
    clean: Clean,
    cuts: Sequence[tuple[tuple[Head, ...], str]],
    targets: Sequence[Head],
    values: Values,
) -> Float[Tensor, "cut row"]:
    """Mean prefix-matching attention of the targets on one copy after another, under each cut (sources, via).

    A target's own direct paths are cut, from the clean run: what sources tell it through heads between them stays.
    """
    period, found = clean.tokens.shape[1] // 2, clean.residuals[0].new_zeros(len(cuts), len(clean.tokens))
    written = {
        (layer, head): (clean.z[layer][:, :, head] - values[layer, head]) @ weights[f"blocks.{layer}.attn.W_O"][head]
        for layer, head in {source for sources, _ in cuts for source in sources}
    }
    for number, (sources, via) in enumerate(cuts):
        for layer, head in targets:
            heads = forward.one_head(weights, layer, head)
            residual = clean.residuals[layer]
            cut = residual - sum((written[source] for source in sources), torch.zeros(()))
            read = {name: forward.readings(weights, cfg, layer, cut if via == name else residual) for name in "qk"}
            query = forward.received(read["q"], "q", heads.W_Q, heads.b_Q)
            key = forward.received(read["k"], "k", heads.W_K, heads.b_K)
            pattern = forward.patterns(query, key, cfg.attn_scale)
            found[number] += scores.prefix_matching(pattern, period)[:, 0] / len(targets)
    return found


def _measure(on: Bench, step: int, previous: str, inducing: str) -> xr.Dataset:
    model = bench.model(on.run.folder, step)
    weights, cfg = forward.weights_of(model), model.cfg
    tokens = on.repeated("random", SEQUENCES).tokens
    targets, sets = _heads(inducing), _sets(_heads(previous), cfg)
    cuts = list(product(sets, VIAS))
    changes = [Change(cuts=tuple(Path(s, target, via) for s in sources for target in targets)) for sources, via in cuts]
    with torch.no_grad():
        clean = rerun.clean_run(weights, cfg, tokens)
        losses = forward.token_losses(weights, cfg, clean.residuals[-1], tokens)
        nothing = substitutes.zeros(cfg)(slice(0, len(tokens)))[0]
        attended = matching_attention(weights, cfg, clean, [((), "k")], targets, nothing)[0]
    attention_lost, gain_lost = [], []
    for stand_in in _stand_ins(on, weights, cfg, tokens):
        (values,) = stand_in(slice(0, len(tokens)))
        with torch.no_grad():
            under = matching_attention(weights, cfg, clean, cuts, targets, values)
        attention_lost.append((attended - under).double().numpy())
        gain_lost.append(changed_losses.effects(weights, cfg, tokens, changes, induction.negative_copy_gain, stand_in))
    dims, shape = ("method", "sources", "via", "sequence"), (len(METHODS), len(sets), len(VIAS), len(tokens))
    data = {
        "attention_lost": (dims, np.array(attention_lost).reshape(shape)),
        "gain_lost": (dims, np.array(gain_lost).reshape(shape)),
        "attention": ("sequence", attended.double().numpy()),
        "gain": ("sequence", -induction.negative_copy_gain(losses).double().numpy()),
    }
    names = ["+".join(map(head_name, sources)) for sources in sets]
    return xr.Dataset(
        data,
        {"method": list(METHODS), "sources": names, "via": list(VIAS)},
        {"previous": "+".join(map(head_name, sorted(_heads(previous)))), "induction": inducing, "step": step},
    )


def _stand_ins(
    on: Bench, weights: Weights, cfg: HookedTransformerConfig, tokens: Int64[Tensor, "row pos"]
) -> list[substitutes.Substitutes]:
    length = tokens.shape[1]
    donors = substitutes.pool(weights, cfg, on.reference[:, :length], on.reference_documents[:, :length])
    of_none = np.full(tuple(tokens.shape), -1)  # random tokens are of no document
    return [
        substitutes.means(weights, cfg, on.reference),
        substitutes.resamples(donors, of_none, 1, on.plan.seed),
    ]


def _heads(names: str) -> list[Head]:
    return [parse_head(name) for name in names.split("+")]


def _sets(previous: list[Head], cfg: HookedTransformerConfig) -> list[tuple[Head, ...]]:
    """All sets as large as this one, from heads of the same layers."""
    candidates = [(layer, head) for layer in sorted({layer for layer, _ in previous}) for head in range(cfg.n_heads)]
    return list(combinations(candidates, len(previous)))
