"""Many changes to the same text at once: the losses under each, over shared clean runs.

Changes that touch heads of the last layer alone, or paths from heads to the output, leave all of the final residual
stream but these heads' contribution as it is. With c the centred clean stream, W' = diag(w) W_U and b' = b W_U + b_U of
ln_final's w and b, and d the centred change that their new z make:

    logits = (c W' + d W') / sigma(c + d) + b',    d W' = dz (W_O W')

so c W' and the products W_O W' are shared, and a change costs a product of rank d_head in place of one of rank d_model.
(Not where an MLP reads what these heads write, or a path into one is cut: such changes are run to the end.)
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward, padding, rerun
from ablations.changes import Change, check_change, first_layer
from ablations.forward import Weights, check_tokens
from ablations.models import Config
from ablations.names import Head, all_mlps
from ablations.paths import OUTPUT, LayerNorm
from ablations.rerun import Run
from ablations.running import as_in_workers, tracked
from ablations.substitutes import Substitutes, check_mlps

# Cost of each sequence from its token losses [batch, predicted]: what an intervention that removes a helpful part
# raises.
Cost = Callable[[Float[Tensor, "batch predicted"]], Float[Tensor, " batch"]]

CHUNK_BYTES = 2**21  # of a chunk's logits: about a core's cache
FEWEST = 128  # tokens of a chunk: with a large vocabulary fewer would read the unembedding too often


class Block(NamedTuple):
    """Losses of some rows of a text, in nats; entry [row, i] is that of token i + 1."""

    rows: slice
    clean: Float[Tensor, "row predicted"]  # NaN for padding
    changed: Float[Tensor, "change row predicted"]  # mean over the draws of the substitutes; NaN for padding

    @property
    def effect(self) -> Float[Tensor, "change row predicted"]:
        """changed - clean; positive: what was removed helps."""
        return self.changed - self.clean


class Shared(NamedTuple):
    """What all changes to heads of the last layer share, on the predicting tokens of a block."""

    centred: Float[Tensor, "token d_model"]
    base: Float[Tensor, "token vocab"]  # centred @ unembedding
    unembedding: Float[Tensor, "d_model vocab"]  # ln_final's weight in it
    bias: Float[Tensor, " vocab"]
    targets: Int64[Tensor, " token"]


def blocks(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    changes: Sequence[Change],
    substitutes: Substitutes,
    layer_norm: LayerNorm = "recompute",
    rows_at_once: int = 16,
) -> Iterator[Block]:
    """The losses under every change, block of rows by block of rows, so that memory does not grow with the text.

    Computed on the device of the weights, and handed over on the CPU. Clean and changed losses come from the same
    functions. What padding is `ablations.padding` says; positions of substitutes are those of the text alone. Raises
    ValueError for an empty text, rows longer than the context, heads or paths that the model does not have, and
    paths from MLPs for which the substitutes have nothing (`substitutes.check_mlps`).
    """
    for change in changes:
        check_change(change, cfg)
    if len(tokens) == 0 or tokens.shape[1] < 2:
        raise ValueError(f"{len(tokens)} rows of {tokens.shape[1]} tokens: losses need a row of two tokens or more")
    if rows_at_once < 1:
        raise ValueError(f"rows_at_once={rows_at_once}: it must be at least 1")
    check_tokens(cfg, tokens)
    size = forward.rows_at_once(cfg, tokens.shape[1], rows_at_once)
    padded = padding.marked(weights)
    with torch.no_grad():
        for start in tracked(range(0, len(tokens), size), "blocks of rows"):
            rows = slice(start, min(start + size, len(tokens)))
            clean = rerun.clean_run(weights, cfg, padding.text_first(padded, tokens[rows]))
            draws = substitutes(rows)
            check_mlps(changes, draws[0], cfg)
            runs = [rerun.prepare(weights, cfg, clean, values, layer_norm) for values in draws]
            shared = _shared(runs[0])
            writes: dict[Head, tuple[Tensor, Tensor]] = {}
            before = _unchanged(cfg, shared).view(clean.tokens[:, 1:].shape)
            changed = before.new_zeros(len(changes), *before.shape)
            for run in runs:
                for number, change in enumerate(changes):
                    changed[number] += _changed_losses(run, change, shared, writes).view(before.shape) / len(runs)
            yield Block(rows, *(padding.as_given(padded, tokens[rows], losses.cpu()) for losses in (before, changed)))


@as_in_workers()
def effects(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    changes: Sequence[Change],
    cost: Cost,
    substitutes: Substitutes,
    rows_at_once: int = 16,
) -> Float[np.ndarray, "change row"]:
    """cost(changed) - cost(clean) of every sequence; positive means that the part helps."""
    parts = []
    for block in blocks(weights, cfg, tokens, changes, substitutes, rows_at_once=rows_at_once):
        after = torch.stack([cost(losses) for losses in block.changed])
        parts.append((after - cost(block.clean)).double().numpy())
    return np.concatenate(parts, axis=1)


def _shared(run: Run) -> Shared:
    weights, cfg, clean = run.weights, run.cfg, run.clean
    unembedding, bias = weights["unembed.W_U"], weights["unembed.b_U"]
    if "ln_final.w" in weights:
        bias = bias + weights["ln_final.b"] @ unembedding if "ln_final.b" in weights else bias
        unembedding = weights["ln_final.w"][:, None] * unembedding
    centred = _centred(cfg, clean.residuals[-1])
    return Shared(centred, centred @ unembedding, unembedding, bias, clean.tokens[:, 1:].flatten())


def _changed_losses(
    run: Run, change: Change, shared: Shared, writes: dict[Head, tuple[Tensor, Tensor]]
) -> Float[Tensor, " token"]:
    cfg, last, mlps = run.cfg, run.cfg.n_layers - 1, all_mlps(run.cfg)
    ended = dict.fromkeys(path.source for path in change.cuts if path.target == OUTPUT)
    to_output = [source for source in ended if not isinstance(source, str)]
    first, cut_mlp = first_layer(change, cfg), any(path.target in mlps for path in change.cuts)
    into_mlp = cut_mlp or (first == last and forward.mlp_reads_heads(cfg))
    if first < last or into_mlp or len(to_output) < len(ended):
        cut, scaled_as = (_centred(cfg, stream) for stream in rerun.final_streams(run, change))
        return _cross_entropy(cut, shared.unembedding, _inverse_scale(cfg, scaled_as), shared)
    said = rerun.Writes(run.clean.z, list(run.clean.mlps))
    changed = rerun.changed_heads(run, change, last, run.clean.residuals[last], said)
    moves = {(last, head): z - run.clean.z[last][:, :, head] for head, z in changed.items()}
    centred, dz, to_vocab = _moved(run, shared, shared.centred, moves, writes)
    scale = _inverse_scale(cfg, centred)
    if to_output:
        z = {head: run.clean.z[head[0]][:, :, head[1]] + moves.get(head, 0) for head in to_output}
        lost = {head: run.values[head] - value if head in run.values else -value for head, value in z.items()}
        centred, more, more_vocab = _moved(run, shared, centred, lost, writes)
        dz, to_vocab = torch.cat((dz, more), 1), torch.cat((to_vocab, more_vocab))
        scale = scale if run.layer_norm == "freeze" else _inverse_scale(cfg, centred)
    if not dz.shape[1]:
        return _unchanged(cfg, shared)
    return _cross_entropy(dz, to_vocab, scale, shared, shared.base)


def _moved(
    run: Run,
    shared: Shared,
    centred: Tensor,
    moves: dict[Head, Tensor],
    writes: dict[Head, tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor, Tensor]:
    """The centred stream when these heads' z move by so much; the moves [token, rank], and what they do to logits."""
    columns, rows = [centred.new_zeros(len(centred), 0)], [shared.unembedding.new_zeros(0, len(shared.bias))]
    for (layer, head), dz in moves.items():
        if (layer, head) not in writes:
            W_O = forward.centred(run.cfg, run.weights[f"blocks.{layer}.attn.W_O"][head])
            writes[layer, head] = W_O, W_O @ shared.unembedding
        W_O, to_vocab = writes[layer, head]
        columns.append(dz[:, :-1].flatten(0, 1))
        rows.append(to_vocab)
        centred = centred + columns[-1] @ W_O
    return centred, torch.cat(columns, 1), torch.cat(rows)


def _unchanged(cfg: Config, shared: Shared) -> Float[Tensor, " token"]:
    return _cross_entropy(shared.centred, shared.unembedding, _inverse_scale(cfg, shared.centred), shared)


def _centred(cfg: Config, stream: Tensor) -> Float[Tensor, "token d_model"]:
    """A final residual stream at the predicting tokens, without its mean where the norm removes it."""
    return forward.centred(cfg, stream[:, :-1].flatten(0, 1))


def _inverse_scale(cfg: Config, centred: Tensor) -> Float[Tensor, "token one"]:
    if cfg.normalization_type is None:
        return centred.new_ones(len(centred), 1)
    return (centred.pow(2).mean(-1, keepdim=True) + cfg.eps).rsqrt()


def _cross_entropy(
    x: Float[Tensor, "token rank"],
    weight: Float[Tensor, "rank vocab"],
    scale: Float[Tensor, "token one"],
    shared: Shared,
    base: Float[Tensor, "token vocab"] | None = None,
) -> Float[Tensor, " token"]:
    """Cross-entropy of logits = scale (base + x weight) + bias, in chunks of tokens that stay in cache."""
    size = max(FEWEST, CHUNK_BYTES // (weight.shape[1] * x.element_size()))
    first, second = x.new_empty(2, min(size, len(x)), weight.shape[1])
    losses = x.new_empty(len(x))
    for start in range(0, len(x), size):
        part = slice(start, min(start + size, len(x)))
        raw, logits = first[: part.stop - start], second[: part.stop - start]
        if base is None:
            torch.mm(x[part], weight, out=raw)
        else:
            torch.addmm(base[part], x[part], weight, out=raw)
        torch.addcmul(shared.bias, raw, scale[part], out=logits)
        losses[part] = _minus_log_softmax(logits, shared.targets[part, None], raw)
    return losses


def _minus_log_softmax(logits: Tensor, targets: Tensor, out: Tensor) -> Tensor:
    """Through torch's fused softmax, which is faster than its logsumexp, where no probability comes near underflow."""
    right = torch.softmax(logits, -1, out=out).gather(-1, targets)[:, 0]
    if right.min() > 1e-30:
        return -right.log()
    return torch.logsumexp(logits, -1) - logits.gather(-1, targets)[:, 0]
