"""What each head attends to, and what it copies: per-sequence scores, so that their errors can be told.

Attention patterns are [batch, head, query, key]; every score of theirs is [batch, head], between 0 and 1.

Example, on a planted model whose head L0H1 attends to the token before and L1H2 to what followed its own:

    >>> import numpy as np
    >>> from circuits import planted, scores
    >>> model = planted.induction().model
    >>> rows = scores.random_rows(np.arange(20), batch=16, period=6, seed=0)
    >>> tokens = scores.repeated(rows)  # each row, one copy after another
    >>> _, cache = model.run_with_cache(tokens)
    >>> bool(scores.previous_token(cache["pattern", 0]).mean(0)[1] > 0.9)
    True
    >>> bool(scores.prefix_matching(cache["pattern", 1], period=6).mean(0)[2] > 0.9)
    True
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ablations import forward, rerun
from ablations.forward import Weights, head_weights
from ablations.models import Config
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from circuits.subspaces import folded

Patterns = Float[Tensor, "batch head query key"]
Scores = Float[Tensor, "batch head"]


def previous_token(patterns: Patterns) -> Scores:
    """Mean attention from each position to the one before it (Olsson et al. 2022)."""
    return patterns.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)


def current_token(patterns: Patterns) -> Scores:
    """Mean attention from each position, the first apart, to itself."""
    return patterns.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(-1)


def by_offset(patterns: Patterns, most: int) -> Float[Tensor, "batch head offset"]:
    """Mean attention to the token 0 (the query's own), 1, ... `most` places back, over the queries that have one; the
    first query, which sees nothing but itself, counts nowhere.

    Raises ValueError for an offset that no query has.
    """
    length = patterns.shape[-1]
    if not 0 <= most < length:
        raise ValueError(f"most={most}: queries of {length} positions look 0 to {length - 1} places back")
    own = patterns.diagonal(dim1=-2, dim2=-1)[..., 1:].mean(-1)
    return torch.stack(
        [own] + [patterns.diagonal(offset=-back, dim1=-2, dim2=-1).mean(-1) for back in range(1, most + 1)], -1
    )


def prefix_matching(patterns: Patterns, period: int) -> Scores:
    """Mean attention, on tokens that repeat with this period, from all tokens but the first copy's to the tokens that
    followed their earlier occurrences (Olsson et al. 2022, with the erratum on the target).

    Raises ValueError where there is no second copy.
    """
    length = patterns.shape[-1]
    if length < 2 * period:
        raise ValueError(f"{length} positions hold no second copy of period {period}: use at least {2 * period}")
    total = patterns.new_zeros(patterns.shape[:2])
    for distance in range(period, length, period):
        total = total + patterns.diagonal(offset=1 - distance, dim1=-2, dim2=-1)[..., 1 : length - distance + 1].sum(-1)
    return total / (length - period)


def duplicate_keys(tokens: Int64[Tensor, "batch pos"]) -> Bool[Tensor, "batch query key"]:
    """Which keys are earlier occurrences of each query's own token."""
    return (tokens[:, :, None] == tokens[:, None]).tril(-1)


def following_keys(tokens: Int64[Tensor, "batch pos"]) -> Bool[Tensor, "batch query key"]:
    """Which keys followed the earlier occurrences of each query's own token, up to the query itself."""
    keys = torch.zeros(*tokens.shape, tokens.shape[1], dtype=torch.bool)
    keys[:, :, 1:] = duplicate_keys(tokens)[:, :, :-1]
    return keys


def attention_to(patterns: Patterns, keys: Bool[Tensor, "batch query key"]) -> Scores:
    """Mean attention to these keys over the queries that have any; 0 in a sequence without.

    Of `duplicate_keys` it is the duplicate-token score, of `following_keys` the prefix-matching score of any text.
    """
    total = torch.einsum("bhqk,bqk->bh", patterns, keys.to(patterns.dtype))  # einops sums in another order
    return total / keys.any(-1).sum(-1).clamp(min=1)[:, None]


@as_in_workers()
def over_rows(
    weights: Weights,
    cfg: Config,
    tokens: Int64[Tensor, "row pos"],
    functions: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
) -> tuple[Float[Tensor, "row predicted"], dict[str, Float[Tensor, "row restriction"]]]:
    """Token losses in nats, and the scores of every head of the model, in the order of `all_heads`, by their names.

    functions: each takes the attention patterns of one layer on some rows, and these rows of tokens, to their scores
    [row, head]. Patterns of no more than one layer and some rows are held at a time.
    """
    losses: list[Tensor] = []
    parts: dict[str, list[Tensor]] = {name: [] for name in functions}
    with torch.no_grad():
        for rows in tokens.split(forward.rows_at_once(cfg, tokens.shape[1])):
            clean = rerun.clean_run(weights, cfg, rows)
            losses.append(forward.token_losses(weights, cfg, clean.residuals[-1], rows))
            by_layer: dict[str, list[Tensor]] = {name: [] for name in functions}
            for layer in range(cfg.n_layers) if functions else ():
                patterns = rerun.patterns(weights, cfg, clean, layer)
                for name, score in functions.items():
                    by_layer[name].append(score(patterns, rows))
            for name, scored in by_layer.items():
                parts[name].append(torch.cat(scored, dim=1))
    return torch.cat(losses), {name: torch.cat(scored) for name, scored in parts.items()}


@as_in_workers()
def ov_copying(weights: Weights, cfg: Config) -> Float[Tensor, "layer head"]:
    """Sum of the eigenvalues of W_E W_OV W_U, from token to logit, over the sum of their sizes (Elhage et al. 2021): 1
    for a head that raises what it reads, -1 for one that lowers it, 0 for one that writes nothing.

    Weights as they act: ln1 folded into W_V, ln_final into W_U, logits centred. The d_head eigenvalues that are not 0
    are those of W_O W_U W_E W_V.
    """
    to_logits = direct_unembedding(weights, cfg) @ weights["embed.W_E"]
    by_layer = []
    for layer in range(cfg.n_layers):
        heads = head_weights(weights, layer)
        W_V = folded(weights, cfg, layer, heads.W_V, "folded")
        values = torch.linalg.eigvals((heads.W_O @ to_logits @ W_V).double())
        sizes = values.abs().sum(-1)
        by_layer.append(torch.where(sizes > 0, values.sum(-1).real / sizes, 0.0))
    return torch.stack(by_layer).to(to_logits.dtype)


def direct_unembedding(weights: Weights, cfg: Config) -> Float[Tensor, "d_model d_vocab"]:
    """The unembedding as it acts on what a head writes: ln_final folded, its scale apart, and logits centred."""
    unembedding = weights["unembed.W_U"]
    if cfg.normalization_type is not None:
        gain = weights.get("ln_final.w")
        unembedding = unembedding if gain is None else gain[:, None] * unembedding
        unembedding = unembedding if "RMS" in cfg.normalization_type else unembedding - unembedding.mean(0)
    return unembedding - unembedding.mean(1, keepdim=True)


def in_context_learning(losses: Float[Tensor, "batch predicted"], early: slice, late: slice) -> Float[Tensor, " batch"]:
    """Loss late in the context minus loss early in it, in nats; more negative is more learning in context."""
    return losses[:, late].mean(1) - losses[:, early].mean(1)


def copy_gain(losses: Float[Tensor, "batch predicted"], period: int) -> Float[Tensor, " batch"]:
    """How much cheaper the second of two copies is than the first, in nats per token.

    losses[b, i] is the loss on token i + 1. The first token of a copy is left out: nothing announces it.
    """
    first, second = losses[:, : period - 1], losses[:, period : 2 * period - 1]
    return (first - second).mean(1)


def repeated(rows: Int64[Tensor, "batch period"], copies: int = 2) -> Int64[Tensor, "batch pos"]:
    """The tokens of each row, one copy after another."""
    return rows.repeat(1, copies)


def random_rows(counts: np.ndarray, batch: int, period: int, seed: int) -> Int64[Tensor, "batch period"]:
    """Random tokens, distinct within a row, drawn uniformly from the middle half of the unigram distribution.

    counts: occurrences of each token of the vocabulary; the middle half are the ranks from 25% to 75%. Raises
    NotMeasurable for a vocabulary with fewer middle tokens than `period`.
    """
    ranked = np.argsort(-counts, kind="stable")
    middle = ranked[len(ranked) // 4 : 3 * len(ranked) // 4]
    if len(middle) < period:
        raise NotMeasurable(
            f"a vocabulary of {len(counts)} has {len(middle)} middle tokens, {period} distinct ones are needed"
        )
    generator = np.random.default_rng(seed)
    return torch.from_numpy(
        np.stack([generator.choice(middle, period, replace=False) for _ in range(batch)]).astype(np.int64)
    )
