"""Why a head looks where it does: the score of a query and a key, taken apart into pairs of sources, exactly.

What a head reads is a sum: the embedding, positions, what each earlier head writes, what MLPs write, and biases. Given
the scale of the layer norm, queries and keys are linear in it, so a score is a sum over pairs,

    score_ij = sum_s sum_t  q_s(i) . k_t(j) / scale

with s a source of the query and t one of the key. Attention compares scores of one query, and what all its keys have in
common changes nothing. So beside each part stands its contrast: what it is above the mean over the other keys that the
query sees. Contrasts sum to the score's own; parts of the key that are the same everywhere, as its bias, have none.
"""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward, rerun
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import Head, all_heads, check_head, head_name
from ablations.rotary import turned
from ablations.running import as_in_workers


@as_in_workers()
def score_sources(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    head: Head,
    places: Int64[np.ndarray, "place three"],
) -> xr.Dataset:
    """The parts of the scores at some places: score and contrast [place, query_source, key_source], before the softmax,
    and attention [place], the probability that it gives; contrast is NaN for a query that sees one key alone.

    Arguments:

        tokens  the text
        head    (layer, head)
        places  row, query's position and key's position of each

    Sources are "embed", "pos_embed", earlier heads, "MLP0" ... where there are any, "b_O" (the earlier layers' output
    biases) and "bias" (the norm's and the head's own). With rotary positions a part depends on how far query and key
    are apart. Raises ValueError for a head that the model does not have, places outside the text or of a key after its
    query, and a model that does not run as pure functions.
    """
    check_head(head, cfg)
    rows, queries, keys = _checked(places, tokens)
    with torch.no_grad():
        clean = rerun.clean_run(weights, cfg, tokens)
        names, q, k = _vectors(weights, cfg, clean, head)
        pattern = rerun.patterns(weights, cfg, clean, head[0])[rows, head[1], queries, keys]
        of_query = q[:, rows, queries] / cfg.attn_scale
        score = torch.einsum("spd,tpd->pst", of_query, k[:, rows, keys])
        others = (k.cumsum(2)[:, rows, queries] - k[:, rows, keys]) / queries[:, None]
        contrast = score - torch.einsum("spd,tpd->pst", of_query, others)
    dims = ("place", "query_source", "key_source")
    data: dict = {"attention": ("place", pattern.double().cpu().numpy())}
    for name, values in (("score", score), ("contrast", contrast)):
        data[name] = (dims, values.double().cpu().numpy())
    data["contrast"] = (dims, np.where(queries.cpu().numpy()[:, None, None] > 0, data["contrast"][1], np.nan))
    return xr.Dataset(data, {"query_source": names, "key_source": names}, {"head": head_name(head)})


def strongest_places(
    weights: Weights, cfg: Config, tokens: Int64[Tensor, "row pos"], head: Head, count: int
) -> Int64[np.ndarray, "place three"]:
    """The places at which a head attends most: of each query its first choice among keys but the text's first token, on
    which many heads rest; as many queries as asked for, the largest attention first.
    """
    check_head(head, cfg)
    with torch.no_grad():
        clean = rerun.clean_run(weights, cfg, tokens)
        pattern = rerun.patterns(weights, cfg, clean, head[0])[:, head[1]].clone()
    pattern[..., 0] = 0
    most, key = pattern.max(-1)
    order = most.flatten().argsort(descending=True, stable=True)[:count].cpu()
    row, query = order // tokens.shape[1], order % tokens.shape[1]
    return torch.stack([row, query, key.cpu()[row, query]], 1).numpy()


def _vectors(
    weights: Weights, cfg: Config, clean: rerun.Clean, head: Head
) -> tuple[list[str], Float[Tensor, "source row pos d_head"], Float[Tensor, "source row pos d_head"]]:
    """The names of the sources, and what each adds to all queries and to all keys of a head."""
    layer = head[0]
    residual, name = clean.residuals[layer], f"blocks.{layer}.ln1"
    nothing = forward.normalize_as(weights, cfg, name, torch.zeros_like(residual), like=residual)
    read = {
        source: forward.normalize_as(weights, cfg, name, value, like=residual) - nothing
        for source, value in _sources(weights, cfg, clean, layer).items()
    }
    if cfg.positional_embedding_type == "shortformer":
        read["pos_embed"] = weights["pos_embed.W_pos"][: residual.shape[1]].expand_as(residual)
    own, angles = forward.one_head(weights, *head), forward.rotary(weights, cfg, residual.shape[1])

    def vectors(weight: Tensor, bias: Tensor) -> Tensor:
        parts = [value @ weight[0] for value in read.values()] + [nothing @ weight[0] + bias[0]]
        return torch.stack([turned(each[:, :, None], angles)[:, :, 0] for each in parts])

    return [*read, "bias"], vectors(own.W_Q, own.b_Q), vectors(own.W_K, own.b_K)


def _sources(weights: Weights, cfg: Config, clean: rerun.Clean, layer: int) -> dict[str, Tensor]:
    """What the residual stream before a layer is the sum of, by name."""
    found = {"embed": torch.nn.functional.embedding(clean.tokens, weights["embed.W_E"])}
    if cfg.positional_embedding_type == "standard":
        found["pos_embed"] = weights["pos_embed.W_pos"][: clean.tokens.shape[1]].expand_as(found["embed"])
    for at, number in all_heads(cfg):
        if at < layer:
            W_O = weights[f"blocks.{at}.attn.W_O"][number]
            found[head_name((at, number))] = clean.z[at][:, :, number] @ W_O
    if layer:
        biases = torch.stack([weights[f"blocks.{at}.attn.b_O"] for at in range(layer)])
        found["b_O"] = biases.sum(0).expand_as(found["embed"])
    if not cfg.attn_only:
        for at in range(layer):
            after_heads = forward.after_heads(weights, at, clean.residuals[at], clean.z[at])
            found[f"MLP{at}"] = clean.residuals[at + 1] - after_heads
    return found


def _checked(places: np.ndarray, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, queries and keys as indices."""
    chosen = torch.from_numpy(np.asarray(places))
    if chosen.ndim != 2 or chosen.shape[1] != 3 or not len(chosen):
        raise ValueError(f"places of shape {list(chosen.shape)}: give row, query and key of one or more")
    row, query, key = chosen.unbind(1)
    wrong = (row < 0) | (row >= tokens.shape[0]) | (query >= tokens.shape[1]) | (key < 0) | (key > query)
    if bool(wrong.any()):
        at = chosen[wrong][0].tolist()
        raise ValueError(
            f"place {at} (row, query, key) is not in {list(tokens.shape)} tokens, or its key comes after its query"
        )
    return row, query, key
