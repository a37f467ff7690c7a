"""Removed heads and cut paths, re-running only what they change.

The clean run is computed once and shared: a change starts at the first layer it touches. Equal to the hooks of
`heads.replace` and `paths.cut` on the same model up to rounding, and many times faster.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward, mlp
from ablations.changes import Change, first_layer
from ablations.forward import Readings, Residual, Weights
from ablations.models import Config
from ablations.names import Head, mlp_layer, mlp_name
from ablations.paths import OUTPUT, LayerNorm, Path, Source, Via, check_layer_norm, layers_read

HeadZ = Float[Tensor, "batch pos d_head"]


class Clean(NamedTuple):
    """One run of the model on some text."""

    tokens: Int64[Tensor, "batch pos"]
    residuals: list[Residual]  # before layer 0, ..., before layer n_layers - 1, final
    z: list[Float[Tensor, "batch pos head d_head"]]  # by layer
    ends: Int64[Tensor, " batch"] | None = None  # where the answer to each prompt is asked for; None: at its last token
    mlps: tuple[Residual, ...] = ()  # what the MLP of each layer writes; empty where there are none


class Writes(NamedTuple):
    """What heads and MLPs write in a changed run, as far as it is computed; in later layers that of the clean run."""

    z: list[Float[Tensor, "batch pos head d_head"]]  # by layer
    mlps: list[Residual]  # by layer; empty in an attention-only model


class Run(NamedTuple):
    """A clean run, what stands in for removed z, and what the changes to the run share."""

    weights: Weights
    cfg: Config
    clean: Clean
    values: Mapping[Source, Tensor]
    layer_norm: LayerNorm
    readings: dict[tuple[int, frozenset[Source]], Readings]  # of a layer whose residual stream is clean, less sources
    received: dict[tuple[Head, Via], HeadZ]  # clean queries, keys and values of one head


def clean_run(weights: Weights, cfg: Config, tokens: Int64[Tensor, "batch pos"]) -> Clean:
    """Runs the model, on the device of its weights, and keeps what changes share."""
    tokens = tokens.to(weights["embed.W_E"].device)
    residuals, z, mlps = [forward.embed(weights, cfg, tokens)], [], []
    for layer in range(cfg.n_layers):
        heads = forward.head_weights(weights, layer)
        z.append(forward.head_z(heads, forward.readings(weights, cfg, layer, residuals[-1]), cfg.attn_scale))
        after = forward.after_heads(weights, layer, residuals[-1], z[-1])
        if not cfg.attn_only:
            read = forward.normalize(weights, cfg, f"blocks.{layer}.ln2", _read_by_mlp(cfg, residuals[-1], after))
            mlps.append(mlp.mlp_write(weights, cfg, layer, read))
            after = after + mlps[-1]
        residuals.append(after)
    return Clean(tokens, residuals, z, mlps=tuple(mlps))


def _read_by_mlp(cfg: Config, before: Residual, after_heads: Residual) -> Residual:
    """The stream that a layer's MLP reads: beside attention that before the layer, else that after its heads."""
    return before if cfg.parallel_attn_mlp else after_heads


def mlp_stream(weights: Weights, cfg: Config, clean: Clean, layer: int) -> Residual:
    """The stream that the MLP of a layer reads in the clean run, before its norm."""
    before = clean.residuals[layer]
    return _read_by_mlp(cfg, before, forward.after_heads(weights, layer, before, clean.z[layer]))


def patterns(weights: Weights, cfg: Config, clean: Clean, layer: int) -> Float[Tensor, "batch head query key"]:
    """Attention probabilities of a layer in the clean run."""
    heads = forward.head_weights(weights, layer)
    read = forward.readings(weights, cfg, layer, clean.residuals[layer])
    query = forward.received(read, "q", heads.W_Q, heads.b_Q)
    key = forward.received(read, "k", heads.W_K, heads.b_K)
    return forward.patterns(query, key, cfg.attn_scale)


def prepare(
    weights: Weights,
    cfg: Config,
    clean: Clean,
    values: Mapping[Source, Tensor] | Mapping[Head, Tensor],
    layer_norm: LayerNorm = "recompute",
) -> Run:
    """What `final_residual` needs of a text.

    values: what is put in place of removed heads' and cut sources' z, or of another source where it is cut ("MLP0",
    "embed", "pos_embed", "b_O"); zero for what is not given.
    """
    check_layer_norm(layer_norm)
    stand_in: dict[Source, Tensor] = {source: value.to(clean.residuals[0]) for source, value in values.items()}
    return Run(weights, cfg, clean, stand_in, layer_norm, {}, {})


def final_residual(run: Run, change: Change) -> Residual:
    """The residual stream before the final norm, with these heads removed and these paths cut."""
    return final_streams(run, change)[0]


def final_streams(run: Run, change: Change) -> tuple[Residual, Residual]:
    """The same, and the stream whose scale the final norm takes: without cuts from the output if norms are frozen."""
    residual, writes = changed_run(run, change)
    to_output = list(dict.fromkeys(path.source for path in change.cuts if path.target == OUTPUT))
    if not to_output:
        return residual, residual
    cut = residual - _written(run, writes, to_output, run.cfg.n_layers)
    return cut, residual if run.layer_norm == "freeze" else cut


def changed_run(run: Run, change: Change) -> tuple[Residual, Writes]:
    """The final residual stream, paths to the output apart, and what heads and MLPs write, under a change."""
    cfg, clean = run.cfg, run.clean
    first = first_layer(change, cfg)
    residual, writes = clean.residuals[first], Writes(list(clean.z), list(clean.mlps))
    z = writes.z
    for layer in range(first, cfg.n_layers):
        if layer > first:
            read = forward.readings(run.weights, cfg, layer, residual)
            z[layer] = forward.head_z(forward.head_weights(run.weights, layer), read, cfg.attn_scale)
        z[layer] = z[layer].clone()
        for head, value in changed_heads(run, change, layer, residual, writes).items():
            z[layer][:, :, head] = value
        after = forward.after_heads(run.weights, layer, residual, z[layer])
        if not cfg.attn_only:
            writes.mlps[layer] = _changed_mlp(run, change, layer, _read_by_mlp(cfg, residual, after), writes)
            after = after + writes.mlps[layer]
        residual = after
    return residual, writes


def changed_heads(run: Run, change: Change, layer: int, residual: Residual, writes: Writes) -> dict[int, Tensor]:
    """z of the heads of one layer that the change itself alters, by head; residual: what the layer reads."""
    changed: dict[int, Tensor] = {}
    for target in dict.fromkeys(path.target for path in change.cuts):
        if not isinstance(target, str) and target[0] == layer:
            into = [path for path in change.cuts if path.target == target]
            changed[target[1]] = _z_with_cuts(run, target, into, residual, writes)
    for at, head in change.heads:
        if at == layer:
            changed[head] = run.values.get((at, head), torch.zeros((), dtype=residual.dtype)).expand_as(
                writes.z[at][:, :, 0]
            )
    return changed


def _changed_mlp(run: Run, change: Change, layer: int, stream: Residual, writes: Writes) -> Residual:
    """What the MLP of one layer writes when it reads this stream without the sources that are cut from it."""
    weights, cfg, target, name = run.weights, run.cfg, mlp_name(layer), f"blocks.{layer}.ln2"
    sources = list(dict.fromkeys(path.source for path in change.cuts if path.target == target))
    if not sources and stream is run.clean.residuals[layer]:
        return run.clean.mlps[layer]
    cut = stream - _written(run, writes, sources, layers_read(target, cfg)[0]) if sources else stream
    return mlp.mlp_write(weights, cfg, layer, _normalized(run, name, cut, stream))


def _z_with_cuts(run: Run, target: Head, cuts: list[Path], residual: Residual, writes: Writes) -> HeadZ:
    """z of one target head whose queries, keys and values miss the sources that are cut from each."""
    layer, head = target
    heads = forward.one_head(run.weights, layer, head)
    shared = residual is run.clean.residuals[layer]  # nothing before this layer is changed

    def received(via: Via, weight: Tensor, bias: Tensor) -> Tensor:
        sources = frozenset(path.source for path in cuts if path.via == via)
        if sources or not shared:
            return forward.received(_missing(run, layer, sources, residual, writes, shared), via, weight, bias)
        if (target, via) not in run.received:
            read = _missing(run, layer, sources, residual, writes, shared)
            run.received[target, via] = forward.received(read, via, weight, bias)
        return run.received[target, via]

    query, key = received("q", heads.W_Q, heads.b_Q), received("k", heads.W_K, heads.b_K)
    value = received("v", heads.W_V, heads.b_V)
    return forward.attend(query, key, value, run.cfg.attn_scale)[:, :, 0]


def _missing(
    run: Run, layer: int, sources: frozenset[Source], residual: Residual, writes: Writes, shared: bool
) -> Readings:
    """What a layer reads of a residual stream that misses these sources."""
    if shared and (layer, sources) in run.readings:
        return run.readings[layer, sources]
    weights, cfg, name = run.weights, run.cfg, f"blocks.{layer}.ln1"
    cut = residual - _written(run, writes, sorted(sources, key=str), layer) if sources else residual
    readings = forward.placed(weights, cfg, _normalized(run, name, cut, residual))
    if shared:
        run.readings[layer, sources] = readings
    return readings


def _normalized(run: Run, name: str, cut: Residual, uncut: Residual) -> Residual:
    """What a target reads of a stream that misses sources; the norm's scale is its own or that of the uncut one."""
    if run.layer_norm == "recompute" or cut is uncut:
        return forward.normalize(run.weights, run.cfg, name, cut)
    return forward.normalize_as(run.weights, run.cfg, name, cut, like=uncut)


def _written(run: Run, writes: Writes, sources: list[Source], layers: int) -> Tensor:
    """What these sources wrote, less what stands in for them; b_O: of this many layers."""
    return sum((_of_source(run, writes, source, layers) for source in sources), torch.zeros(()))


def _of_source(run: Run, writes: Writes, source: Source, layers: int) -> Tensor:
    weights, tokens = run.weights, run.clean.tokens
    if isinstance(source, str):
        of_mlp = mlp_layer(source)
        written = _of_named_source(weights, tokens, source, layers) if of_mlp is None else writes.mlps[of_mlp]
        return written - run.values[source] if source in run.values else written
    layer, head = source
    own = writes.z[layer][:, :, head]
    lost = own - run.values[source] if source in run.values else own
    return lost @ weights[f"blocks.{layer}.attn.W_O"][head]


def _of_named_source(weights: Weights, tokens: Tensor, source: str, layers: int) -> Tensor:
    if source == "embed":
        return F.embedding(tokens, weights["embed.W_E"])
    if source == "pos_embed":
        return weights["pos_embed.W_pos"][: tokens.shape[1]]
    return torch.stack([weights[f"blocks.{layer}.attn.b_O"] for layer in range(layers)]).sum(0)
