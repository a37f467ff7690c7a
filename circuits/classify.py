"""Which heads are previous-token, current-token or induction heads, from their attention alone; never from rLLCs."""

from collections.abc import Mapping

from ablations.names import Head

# Far above chance: a head that attends evenly over 100 positions scores 0.01 to 0.05.
PREVIOUS_TOKEN = 0.3
PREFIX_MATCHING = 0.25


def previous_token_heads(scores: Mapping[Head, float], threshold: float = PREVIOUS_TOKEN) -> list[Head]:
    """Heads whose previous-token score passes the threshold, highest first; the highest alone when none does."""
    return _above({head: score for head, score in scores.items() if head[0] == 0}, threshold)


def induction_heads(scores: Mapping[Head, float], threshold: float = PREFIX_MATCHING) -> list[Head]:
    """Heads after layer 0 whose prefix-matching score passes the threshold, highest first; the highest if none does."""
    return _above({head: score for head, score in scores.items() if head[0] > 0}, threshold)


def _above(scores: Mapping[Head, float], threshold: float) -> list[Head]:
    ranked = sorted(scores, key=lambda head: (-scores[head], head))
    return [head for head in ranked if scores[head] > threshold] or ranked[:1]
