"""Removing heads or paths from any model, in one call: zero, mean or resample ablation, by name.

The pure functions (`changed_losses`) run where the model allows it, hooks (`heads`, `paths`, `effects`) on any other
model, with the same numbers up to rounding; which, and why, is said in the result.
"""

import operator
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ablations import changed_losses, effects, forward, heads, padding, paths, substitutes
from ablations.changes import Change, change_name, check_change, parse_change
from ablations.models import Model, as_model
from ablations.names import Head
from ablations.paths import LayerNorm, check_layer_norm
from ablations.prompts import Prompts, as_tokens
from ablations.running import as_in_workers, tracked

Method = Literal["zero", "mean", "resample"]
Way = Literal["auto", "functions", "hooks"]


class Ablated(NamedTuple):
    """What removing each part costs on every predicted token, in nats; entry [row, i] is that of token i + 1."""

    names: tuple[str, ...]  # of what was removed
    effect: Float[Tensor, "change row predicted"]  # loss ablated - loss clean; positive: the part helps. NaN: padding
    clean: Float[Tensor, "row predicted"]
    way: str  # "functions" or "hooks", and why hooks were needed


@as_in_workers()
def ablate(
    model: Model,
    tokens: Prompts,
    what: str | Change | Iterable[str | Change],
    *,
    method: Method = "mean",
    reference: Prompts | None = None,
    draws: SupportsIndex = 1,
    seed: SupportsIndex = 0,
    layer_norm: LayerNorm = "recompute",
    way: Way = "auto",
) -> Ablated:
    """Removes heads or paths, one part after another, and gives what each costs on every token.

    Arguments:
        model: any model (`ablations.models`); its weights, flags and hooks stay as they are.
        tokens: the text, as strings where the model has a tokenizer; a row is one document's, its first token BOS where
            the model was trained so. Rows may be padded as the model's tokenizer pads; each is measured as if it stood
            alone (`ablations.padding`).
        what: "L1H4", "L0H1+L0H5" (both at once), "L0H5->L1H4.k" or "L0H5->MLP1" (a path), a `Change`, or several of
            these. Paths from MLPs ("MLP0->L1H4.k") are cut to zero only.
        method: what takes the place of a removed head's z, or of what a cut path carries: zero, its mean over
            `reference`, or its value on `draws` rows of `reference` (resample; effects are means over the draws).
        reference: other text, for mean and resample (rows at least as long as those of `tokens`, and not padded, for
            resample).
        seed: of the choice of rows for resample.
        layer_norm: of a cut path's target: recomputed (exact), or its scale frozen.
        way: "functions" and "hooks" ask for one of the two; "auto" takes functions wherever they can run the model.

    Raises ValueError for a head or path that the model does not have, for a reference that is missing or too short, and
    for a path from an MLP with another method than zero.

    Example:
        >>> import torch
        >>> from ablations import ablate, models
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model, tokens = models.new({**sizes, "attn_only": True}), torch.randint(20, (4, 12))
        >>> removed = ablate(model, tokens, ["L1H2", "L0H1->L1H2.k"], method="zero")
        >>> removed.effect.shape, removed.way
        (torch.Size([2, 4, 11]), 'functions')
    """
    model = as_model(model)
    tokens, reference = as_tokens(model, tokens), None if reference is None else as_tokens(model, reference)
    draws, seed = operator.index(draws), operator.index(seed)
    several = [what] if isinstance(what, str | Change) else list(what)
    changes = [check_change(parse_change(one) if isinstance(one, str) else one, model.cfg) for one in several]
    check_layer_norm(layer_norm)
    _check_reference(method, reference, tokens)
    if method != "zero":
        substitutes.check_mlps(changes, {}, model.cfg)
    padded = padding.padding_of(model)
    if method == "resample" and reference is not None:
        padding.check_unpadded(padded, reference, "rows that donate their values")
        reference = reference[:, : tokens.shape[1]]  # values are taken from the same position
    reason = forward.unsupported(model.cfg) if way == "auto" else "asked for" if way == "hooks" else ""
    if reason:
        _check_causal(model, padded, tokens)
        rows = padding.text_first(padded, tokens)
        both = _by_hooks(model, rows, changes, method, reference, draws, seed, layer_norm)
        effect, clean = (padding.as_given(padded, tokens, losses) for losses in both)
    else:
        effect, clean = _by_functions(model, tokens, changes, method, reference, draws, seed, layer_norm)
    return Ablated(tuple(map(change_name, changes)), effect, clean, f"hooks: {reason}" if reason else "functions")


def _check_reference(method: str, reference: Tensor | None, tokens: Tensor) -> None:
    if method not in ("zero", "mean", "resample"):
        raise ValueError(f"method={method!r}: it is one of zero, mean, resample")
    if method != "zero" and (reference is None or len(reference) == 0):
        raise ValueError(f"{method} ablation needs a reference text: give rows of tokens as reference=")
    if method == "resample" and reference is not None and reference.shape[1] < tokens.shape[1]:
        raise ValueError(
            f"reference rows of {reference.shape[1]} tokens are shorter than those of the text ({tokens.shape[1]}): "
            "give longer ones"
        )


def _check_causal(model: Model, padded: padding.Padding | None, tokens: Tensor) -> None:
    if model.cfg.attention_dir != "causal":  # what stands after the text is seen
        padding.check_unpadded(padded, tokens, "models with bidirectional attention")


def _documents(tokens: Tensor, reference: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """A document for every row, so that no row of the text shares one with a row of the reference."""
    own = np.arange(len(tokens))[:, None].repeat(tokens.shape[1], 1)
    return own, len(tokens) + np.arange(len(reference))[:, None].repeat(reference.shape[1], 1)


def _by_functions(
    model: Model,
    tokens: Tensor,
    changes: Sequence[Change],
    method: str,
    reference: Tensor | None,
    draws: int,
    seed: int,
    layer_norm: LayerNorm,
) -> tuple[Tensor, Tensor]:
    weights, cfg = forward.weights_of(model) | padding.mark(padding.padding_of(model)), model.cfg
    if method == "zero" or reference is None:
        values = substitutes.zeros(cfg)
    elif method == "mean":
        values = substitutes.means(weights, cfg, reference)
    else:
        own, other = _documents(tokens, reference)
        values = substitutes.resamples(substitutes.pool(weights, cfg, reference, other), own, draws, seed)
    blocks = list(changed_losses.blocks(weights, cfg, tokens, changes, values, layer_norm))
    return torch.cat([block.effect for block in blocks], dim=1), torch.cat([block.clean for block in blocks])


def _by_hooks(
    model: Model,
    tokens: Tensor,
    changes: Sequence[Change],
    method: str,
    reference: Tensor | None,
    draws: int,
    seed: int,
    layer_norm: LayerNorm,
) -> tuple[Tensor, Tensor]:
    of_changes = []
    for change in tracked(changes, "changes"):
        sources = [*change.heads, *(path.source for path in change.cuts if not isinstance(path.source, str))]
        every = _values(model, tokens, list(dict.fromkeys(sources)), method, reference, draws, seed)
        parts = []
        for values in every:
            replaced = heads.replace({head: values[head] for head in change.heads})
            interventions = paths.cut(model, change.cuts, values, layer_norm) + replaced
            parts.append(effects.token_effects(model, tokens, interventions))
        of_changes.append(torch.stack(parts).mean(0))
    return torch.stack(of_changes), effects.token_losses(model, tokens)


def _values(
    model: Model,
    tokens: Tensor,
    sources: list[Head],
    method: str,
    reference: Tensor | None,
    draws: int,
    seed: int,
) -> list[dict[Head, Tensor]]:
    """What takes the place of the sources' z, draw by draw."""
    if method == "zero" or reference is None:
        return [{head: torch.zeros(1) for head in sources}]
    if method == "mean":
        return [heads.mean_z(model, sources, reference)]
    own, other = _documents(tokens, reference)
    chosen = torch.from_numpy(heads.other_rows(own, other, seed, draws))
    return [heads.head_z(model, sources, reference[chosen[:, draw]]) for draw in range(draws)]
