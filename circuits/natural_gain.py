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
from jaxtyping import Bool, Float, Int, Int64
from scipy import stats
from torch import Tensor

from ablations import forward
from ablations.forward import Weights
from ablations.models import Config
from circuits import multigrams, natural_places
from circuits.multigrams import RATE, Patterns, Text
from circuits.natural_places import Places

DECOYS = 20  # other targets of each context: one discovery among few patterns is possible
ROWS_AT_ONCE = 32


class Needed(NamedTuple):
    """What the model predicts with one token of the context replaced."""

    without: Float[np.ndarray, "pattern target"]  # mean of log q without the token that costs least; -inf for none
    p: Float[np.ndarray, " pattern"]  # that the first target is predicted as well without one of the tokens


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
    target worse at a false-discovery rate of 5% among the patterns that are asked about. What that costs is more than
    it costs decoys, targets of other patterns after the same contexts, at the same rate (target-decoy competition:
    Elias and Gygi, Nature Methods 2007): models raise wrong targets a little, too, which no t-test tells from knowing
    them.
    whole: gains where the target comes; None takes those at all places, for targets that never come (controls).
    """
    base, at = log_unigram[patterns.targets], natural_places.places(text, patterns, cfg.d_vocab)
    log_q = log_probabilities(weights, cfg, text, patterns.targets[:, None], at)[:, 0]
    seen, total = (np.bincount(at.numbers, by, minlength=len(base)) for by in (None, log_q))
    alone = total / np.maximum(seen, 1) - base
    whole = alone if whole is None else whole
    likely = (seen > 0) & (whole > 0) & (alone >= multigrams.KEPT * whole) & natural_places.varied(text, patterns, at)
    inside = likely[at.numbers]
    of_likely = at.take(inside)._replace(numbers=(np.cumsum(likely) - 1)[at.numbers[inside]])
    part, p, costs = alone.copy(), np.ones(len(base)), np.zeros(len(base), dtype=bool)
    part[likely], p[likely], costs[likely] = _of_likely(
        weights, cfg, text, patterns.take(likely), of_likely, whole[likely], log_unigram, patterns.targets
    )
    # a pattern that has failed already counts as tested
    few = stats.false_discovery_control(p) <= RATE if len(p) else likely
    return Known(alone, part, likely & few & costs & multigrams.known(whole, alone, part))


def _of_likely(
    weights: Weights,
    cfg: Config,
    text: Text,
    patterns: Patterns,
    at: Places,
    whole: np.ndarray,
    log_unigram: np.ndarray,
    pool: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gains without a token, p of the t-tests, and which patterns the decoys leave, drawn from the pool."""
    if not len(whole):
        return whole, whole, whole > 0
    decoys = np.random.default_rng(0).choice(pool, (len(whole), DECOYS))
    targets = np.column_stack([patterns.targets, decoys])
    log_q = log_probabilities(weights, cfg, text, targets, at)
    least = needed(weights, cfg, text, patterns, targets, at, log_q)
    alone, part = _means(log_q, at.numbers, len(whole)) - log_unigram[targets], least.without - log_unigram[targets]
    enough = multigrams.KEPT * np.column_stack([whole, alone[:, 1:]])
    passes = (alone > 0) & (part < enough) & np.column_stack([whole > 0, decoys != patterns.targets[:, None]])
    costs = np.where(passes, alone - part, -np.inf)
    return part[:, 0], least.p, above_decoys(costs[:, 0], costs[:, 1:])


def above_decoys(
    own: Float[np.ndarray, " pattern"], decoys: Float[np.ndarray, "pattern decoy"]
) -> Bool[np.ndarray, " pattern"]:
    """Which statistics lie above the lowest threshold that at most 5% as many decoys pass as patterns do.

    One is added to the number of decoys, which is then divided by the decoys of a pattern; -inf for what does not
    compete.
    """
    order = np.sort(own[np.isfinite(own)])
    passing = (decoys.ravel() >= order[:, None]).sum(1) if len(order) else order
    rate = (1 + passing) / decoys.shape[1] / np.arange(len(order), 0, -1)
    fine = order[rate <= RATE]
    return own >= fine[0] if len(fine) else np.zeros(len(own), dtype=bool)


def log_probabilities(
    weights: Weights, cfg: Config, text: Text, targets: Int[np.ndarray, "pattern target"], at: Places
) -> Float[np.ndarray, "place target"]:
    """log q of the targets of each place's pattern, given all before the place in its row."""
    row, pos = np.divmod(at.flat, text.tokens.shape[1])
    rows = torch.from_numpy(text.tokens.astype(np.int64))
    return _log_q(weights, cfg, rows, row, pos, targets[at.numbers])


def needed(
    weights: Weights,
    cfg: Config,
    text: Text,
    patterns: Patterns,
    targets: Int[np.ndarray, "pattern target"],
    at: Places,
    log_q: Float[np.ndarray, "place target"],
) -> Needed:
    """What each token of the contexts adds; log_q: what the model gives the targets where nothing is replaced.

    p is the largest over the tokens of one-sided t-tests, errors clustered by document (`multigrams.learned`); 1 for a
    pattern of fewer than 20 places, of one document, or of a token in whose place the text never has another.
    """
    count = len(patterns.targets)
    without, p = np.full(targets.shape, -np.inf), np.zeros(count)
    documents = text.documents.ravel()[at.flat].astype(np.int64)
    for which, column, others in natural_places.others(text, patterns, at, cfg.d_vocab):
        numbers = at.numbers[which]
        replaced = _replaced(weights, cfg, text, patterns, targets, at.take(which), column, others)
        costs = (log_q[which, 0] - replaced[:, 0])[None]
        said = multigrams.learned(costs, numbers, documents[which], count)[2][0]
        has = patterns.offsets[:, column] > 0
        there = has & (np.bincount(numbers, minlength=count) > 0)
        without = np.where(there[:, None], np.maximum(without, _means(replaced, numbers, count)), without)
        p = np.where(has, np.maximum(p, np.nan_to_num(said, nan=1.0)), p)
    return Needed(without, p)


def _means(values: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
    """Means [pattern, target] of values [place, target]; 0 for patterns without places."""
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, numbers, values)
    return total / np.maximum(np.bincount(numbers, minlength=count), 1)[:, None]


def _replaced(
    weights: Weights,
    cfg: Config,
    text: Text,
    patterns: Patterns,
    targets: np.ndarray,
    at: Places,
    column: int,
    others: np.ndarray,
) -> Float[np.ndarray, "place target"]:
    """log q of the targets at each place, with another token in this column of the context."""
    row, pos = np.divmod(at.flat, text.tokens.shape[1])
    order = np.argsort(pos, kind="stable")  # rows of about one length at a time
    row, pos, numbers = row[order], pos[order], at.numbers[order]
    rows = torch.from_numpy(text.tokens[row].astype(np.int64))
    rows[torch.arange(len(rows)), pos - patterns.offsets[numbers, column]] = torch.from_numpy(others[order])
    log_q = np.empty((len(order), targets.shape[1]))
    log_q[order] = _log_q(weights, cfg, rows, np.arange(len(order)), pos, targets[numbers])
    return log_q


def _log_q(
    weights: Weights, cfg: Config, rows: Int64[Tensor, "row pos"], row: np.ndarray, pos: np.ndarray, targets: np.ndarray
) -> Float[np.ndarray, "place target"]:
    """log q of these targets at these positions of these rows."""
    log_q, at_once = np.empty(targets.shape), forward.rows_at_once(cfg, rows.shape[1], ROWS_AT_ONCE)
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
        log_q[of_rows] = log.gather(1, torch.from_numpy(targets[of_rows])).double().numpy()
    return log_q
