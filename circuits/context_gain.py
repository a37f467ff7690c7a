"""How well a model predicts a target from a few tokens of context, everything else being other documents'.

The gain of a context is log q(target | it, all else resampled) - log u(target), u the unigram distribution, in nats.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

from ablations import forward
from ablations.forward import Weights
from ablations.models import Config
from ablations.not_measurable import NotMeasurable
from circuits import multigrams
from circuits.multigrams import FAMILIES, KEPT, LONGEST, Patterns

CONTEXTS_AT_ONCE = 64


def log_probabilities(
    weights: Weights, cfg: Config, windows: Int64[Tensor, "donor pos"], patterns: Patterns
) -> Float[Tensor, " pattern"]:
    """Mean over windows of log q(target), in nats, after the window in which the pattern's context has been put last.

    windows: the first tokens of rows of other documents; the target is what would come next. Raises
    NotMeasurable for windows that are shorter than a context, as those of a model with a short context are.
    """
    length = windows.shape[1]
    if length <= patterns.offsets.max(initial=0):
        raise NotMeasurable(f"windows of {length} tokens: a context reaches {patterns.offsets.max()} back")
    offsets, tokens, targets = (torch.from_numpy(column) for column in patterns)
    contexts, context = torch.unique(torch.cat([offsets, tokens], dim=1), dim=0, return_inverse=True)
    log_q, order = torch.empty(len(targets)), torch.argsort(context)
    ends = torch.searchsorted(context[order].contiguous(), torch.arange(len(contexts) + 1))
    with torch.no_grad():
        for start in range(0, len(contexts), CONTEXTS_AT_ONCE):
            stop = min(start + CONTEXTS_AT_ONCE, len(contexts))
            predicted = _predicted(weights, cfg, windows, *contexts[start:stop].chunk(2, dim=1))
            which = order[ends[start] : ends[stop]]
            log_q[which] = predicted[context[which] - start, :, targets[which]].mean(1)
    return log_q


def best_of_parts(
    weights: Weights,
    cfg: Config,
    windows: Int64[Tensor, "donor pos"],
    patterns: Patterns,
) -> Float[np.ndarray, " pattern"]:
    """What `log_probabilities` gives of each pattern's best sub-pattern."""
    best = np.full(len(patterns.targets), -np.inf)
    for which, parts in multigrams.sub_patterns(patterns):
        best[which] = np.maximum(best[which], log_probabilities(weights, cfg, windows, parts).numpy())
    return best


def smallest(
    weights: Weights,
    cfg: Config,
    windows: Int64[Tensor, "donor pos"],
    before: Int[np.ndarray, "token back"],
    targets: Int[np.ndarray, " token"],
    gain: Float[np.ndarray, " token"],
    log_unigram: Float[np.ndarray, " vocab"],
) -> Int[np.ndarray, " token"]:
    """The smallest context that each token needs: the number of the smallest of `multigrams.FAMILIES` whose offsets
    keep 80% of its gain, the one that keeps most where several are as small; -1 where none does, or where no context at
    all does so too.

    before: the tokens before each, the nearest first (at least 16); gain: in the whole context. Raises ValueError for a
    gain that is not a number.
    """
    if np.isnan(gain).any():
        raise ValueError("a gain is nan: the model's losses are not numbers, take another checkpoint")
    numbers, nothing = np.full(len(targets), -1), np.zeros((len(targets), LONGEST), dtype=np.int64)
    without = log_probabilities(weights, cfg, windows, Patterns(nothing, nothing, targets)).double().numpy()
    needed = (gain > 0) & (without - log_unigram[targets] < KEPT * gain)
    for size in range(1, LONGEST + 1):
        left = np.flatnonzero((numbers < 0) & needed)
        families = [number for number, family in enumerate(FAMILIES) if len(family) == size]
        offsets, tokens = np.zeros((2, len(families), len(left), LONGEST), dtype=np.int64)
        offsets[..., :size] = np.array([FAMILIES[number] for number in families])[:, None]
        tokens[..., :size] = np.take_along_axis(before[None, left], offsets[..., :size] - 1, 2)
        patterns = Patterns(
            offsets.reshape(-1, LONGEST), tokens.reshape(-1, LONGEST), np.tile(targets[left], len(families))
        )
        alone = log_probabilities(weights, cfg, windows, patterns).double().numpy() - log_unigram[patterns.targets]
        alone = alone.reshape(len(families), len(left))
        best = alone.argmax(0)
        numbers[left] = np.where(alone.max(0) >= KEPT * gain[left], np.array(families)[best], -1)
    return numbers


def _predicted(
    weights: Weights, cfg: Config, windows: Tensor, offsets: Tensor, tokens: Tensor
) -> Float[Tensor, "context donor vocab"]:
    """Log probabilities of what comes after the windows with these contexts in them."""
    count, length = len(windows), windows.shape[1]
    text = windows.repeat(len(offsets), 1, 1)
    context, column = (offsets > 0).nonzero(as_tuple=True)
    text[context, :, length - offsets[context, column]] = tokens[context, column][:, None]
    logits = forward.unembed(weights, cfg, forward.last_residual(weights, cfg, text.flatten(0, 1)))[:, 0]
    return F.log_softmax(logits, -1).view(len(offsets), count, -1)
