"""How well a model predicts a target where a gapped context stands in text, and how well without one of its tokens.

`context_gain` puts a context among tokens of other documents. Skip n-grams are missed so: their free places then hold
tokens that begin something of their own, and what comes before may be a stretch that they never interrupt in the text.
So here all else is what the text puts around the context, at places where it stands whatever comes next: a model that
needs more than the context predicts the target at few of them. Which tokens of the context it needs is told by putting
another token in the place of each, one that stands there in the text where the rest of the context stands.

All of it is log q(target | the row so far), q the model's prediction, in nats.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from scipy import stats
from torch import Tensor

from ablations import forward
from ablations.forward import Weights
from ablations.models import Config
from circuits import multigrams, natural_places
from circuits.multigrams import RATE, Patterns, Text
from circuits.natural_places import Places

ROWS_AT_ONCE = 32


class Needed(NamedTuple):
    """What the model predicts with one token of the context replaced."""

    without: Float[np.ndarray, " pattern"]  # mean of log q(target) without the token that costs least; -inf for none
    p: Float[np.ndarray, " pattern"]  # that the target is predicted as well without one of the tokens


class Known(NamedTuple):
    """Gains over the unigram in nats, and what follows from them."""

    alone: Float[np.ndarray, " pattern"]  # mean over the places of the context
    part: Float[np.ndarray, " pattern"]  # the same without the token that costs least; `alone` where not asked for
    known: Bool[np.ndarray, " pattern"]


def known(
    weights: Weights,
    cfg: Config,
    text: Text,
    patterns: Patterns,
    whole: Float[np.ndarray, " pattern"] | None,
    log_unigram: Float[np.ndarray, " vocab"],
) -> Known:
    """Which skip n-grams are multigrams of a model, and the gains that `multigrams.known` asks for.

    Such a pattern's gap varies in the text; at the places of its context, whatever comes next, the model keeps 80% of
    the gain that it has where the target comes; without one of the tokens, whichever, it does not, and predicts the
    target worse at a false-discovery rate of 5% among the patterns that are asked about.
    whole: gains where the target comes; None takes those at all places, for targets that never come (controls).
    """
    base, at = log_unigram[patterns.targets], natural_places.places(text, patterns, cfg.d_vocab)
    log_q = log_probabilities(weights, cfg, text, patterns, at)
    seen, total = (np.bincount(at.numbers, by, minlength=len(base)) for by in (None, log_q))
    alone = total / np.maximum(seen, 1) - base
    whole = alone if whole is None else whole
    likely = (seen > 0) & (whole > 0) & (alone >= multigrams.KEPT * whole) & natural_places.varied(text, patterns, at)
    inside = likely[at.numbers]
    of_likely = at.take(inside)._replace(numbers=(np.cumsum(likely) - 1)[at.numbers[inside]])
    least = needed(weights, cfg, text, patterns.take(likely), of_likely, log_q[inside])
    part, p = alone.copy(), np.ones(len(base))  # a pattern that has failed already counts as tested
    part[likely], p[likely] = least.without - base[likely], least.p
    few = stats.false_discovery_control(p) <= RATE if len(p) else likely
    return Known(alone, part, likely & few & multigrams.known(whole, alone, part))


def log_probabilities(
    weights: Weights, cfg: Config, text: Text, patterns: Patterns, at: Places
) -> Float[np.ndarray, " place"]:
    """log q(target) of each place's pattern, given all before the place in its row."""
    row, pos = np.divmod(at.flat, text.tokens.shape[1])
    rows = torch.from_numpy(text.tokens.astype(np.int64))
    return _log_q(weights, cfg, rows, row, pos, patterns.targets[at.numbers])


def needed(
    weights: Weights,
    cfg: Config,
    text: Text,
    patterns: Patterns,
    at: Places,
    log_q: Float[np.ndarray, " place"],
) -> Needed:
    """What each token of the contexts adds; log_q: what the model gives the targets where nothing is replaced.

    p is the largest over the tokens of one-sided t-tests, errors clustered by document (`multigrams.learned`); 1 for a
    pattern of fewer than 20 places, of one document, or of a token in whose place the text never has another.
    """
    count = len(patterns.targets)
    without, p = np.full(count, -np.inf), np.zeros(count)
    documents = text.documents.ravel()[at.flat].astype(np.int64)
    for which, column, others in natural_places.others(text, patterns, at, cfg.d_vocab):
        replaced = _replaced(weights, cfg, text, patterns, at.take(which), column, others)
        costs, numbers = (log_q[which] - replaced)[None], at.numbers[which]
        said = multigrams.learned(costs, numbers, documents[which], count)[2][0]
        has = patterns.offsets[:, column] > 0
        seen = np.bincount(numbers, minlength=count)
        mean = np.bincount(numbers, weights=replaced, minlength=count) / np.maximum(seen, 1)
        without = np.where(has & (seen > 0), np.maximum(without, mean), without)
        p = np.where(has, np.maximum(p, np.nan_to_num(said, nan=1.0)), p)
    return Needed(without, p)


def _replaced(
    weights: Weights, cfg: Config, text: Text, patterns: Patterns, at: Places, column: int, others: np.ndarray
) -> Float[np.ndarray, " place"]:
    """log q(target) at each place, with another token in this column of the context."""
    row, pos = np.divmod(at.flat, text.tokens.shape[1])
    order = np.argsort(pos, kind="stable")  # rows of about one length at a time
    row, pos, numbers = row[order], pos[order], at.numbers[order]
    rows = torch.from_numpy(text.tokens[row].astype(np.int64))
    rows[torch.arange(len(rows)), pos - patterns.offsets[numbers, column]] = torch.from_numpy(others[order])
    log_q = np.empty(len(order))
    log_q[order] = _log_q(weights, cfg, rows, np.arange(len(order)), pos, patterns.targets[numbers])
    return log_q


def _log_q(
    weights: Weights, cfg: Config, rows: Int64[Tensor, "row pos"], row: np.ndarray, pos: np.ndarray, targets: np.ndarray
) -> Float[np.ndarray, " place"]:
    """log q of these targets at these positions of these rows."""
    log_q, at_once = np.empty(len(row)), forward.rows_at_once(cfg, rows.shape[1], ROWS_AT_ONCE)
    order = np.argsort(row, kind="stable")
    starts = np.arange(0, max(len(rows), 1), at_once)
    for start, of_rows in zip(starts, np.split(order, np.searchsorted(row[order], starts[1:])), strict=True):
        if not len(of_rows):
            continue
        part = rows[start : start + at_once, : pos[of_rows].max()]
        with torch.no_grad():
            residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, part), 0, cfg.n_layers)
            chosen = residual[row[of_rows] - start, pos[of_rows] - 1]
            log = F.log_softmax(forward.unembed(weights, cfg, chosen), -1)
        log_q[of_rows] = log[torch.arange(len(log)), torch.from_numpy(targets[of_rows])].double().numpy()
    return log_q
