"""What each head is, from its attention, from what removing it costs, and from the tokens that its own word hurts most.

Never from rLLCs, so that rLLCs can be held against it. First two words that stand alone:
    inactive        removing it changes nothing: the 95% interval of the effect reaches to 0, or to 1% of what removing
                    all heads costs (through the scale of the norms any output matters a little), from whichever side;
                    and so does that of removing it where the heads of the first layer that attend as it does are
                    removed already, since one can stand for another
    suppression     removing it makes the loss fall: that interval lies below 0, and beyond that 1%. The head lowers
                    what the others predict rightly (McDougall et al. 2023, arXiv:2310.04625: copy suppression, negative
                    heads)
Of any other head each of these that holds, in this order:
    previous-token  in the first layer: on random tokens its mean attention to the token before is at least 0.2 and
                    larger than to any other offset, and cutting its paths into the keys of the next layer costs more
                    than cutting its direct path to the output: such heads act through keys
    current-token   in the first layer: its mean attention to the token itself is at least 0.5, and at least 80% of its
                    effect is kept where it attends to the token itself alone. In later layers the stream at a place
                    holds what other heads moved there, so where a head looks does not tell what it reads
    induction, multigram, bracket, quote
                    cutting its direct path to the output costs something, and of the tokens that this hurts most the
                    largest share repeats, completes an n-gram or a skip n-gram that the model predicts from these
                    tokens alone, closes a bracket, or a quote. What a head does for later heads is no part of it
    mixed           none of these
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from ablations.effects import Estimate
from ablations.names import Head, head_name

PREVIOUS_TOKEN = 0.2  # far above chance: a head that attends evenly over 100 positions scores 0.01 to 0.05
CURRENT_TOKEN, KEPT = 0.5, 0.8
PREFIX_MATCHING = 0.25
ALIKE = 0.3  # attention to one place from which heads of the first layer can stand for one another
NEGLIGIBLE = 0.01  # of the effect of removing all heads

TYPES = (
    "previous-token", "current-token", "induction", "multigram", "bracket", "quote", "mixed", "suppression", "inactive",
)  # fmt: skip
GROUPS = {
    "induction": ("induction",),
    "multigram": ("n-gram", "skip n-gram"),
    "bracket": ("bracket",),
    "quote": ("quote",),
}


class Evidence(NamedTuple):
    """What is known of a head. Effects are in nats per token; positive: what is removed helps."""

    effect: Estimate  # of removing it
    offsets: tuple[float, ...]  # mean attention to the token itself, the one before, the one before that, ...
    kept: float  # share of its effect that is left where it attends to the token itself alone
    keys: float  # effect of cutting its paths into the keys of the next layer; 0 in the last one
    direct: Estimate  # effect of cutting its path to the output
    affected: Mapping[str, float]  # of the tokens that this hurts most, the share of each kind (`token_kinds.KINDS`)
    all_heads: float = 0.0  # effect of removing all heads at once
    given_alike: Estimate | None = None  # effect of removing it too where the heads that attend alike are removed


class HeadType(NamedTuple):
    """All labels that hold, and the evidence for them, in words."""

    labels: tuple[str, ...]
    why: str

    @property
    def label(self) -> str:
        """The first label."""
        return self.labels[0]


def head_type(head: Head, evidence: Evidence) -> HeadType:
    """The type of one head, and what speaks for it in words.

    Arguments:

        head      (layer, head)
        evidence  what was measured of it; for a planted model `planted_evidence.evidence` measures it

    Raises ValueError for a number that is not finite.

    Example:

        >>> from ablations.effects import Estimate
        >>> from circuits import classify
        >>> evidence = classify.Evidence(
        ...     Estimate(2.0, se=0.1), (0.1, 0.0), kept=0.1, keys=0.0, direct=Estimate(1.9, se=0.1),
        ...     affected={"induction": 0.9},
        ... )
        >>> classify.head_type((1, 2), evidence)
        HeadType(labels=('induction',), why='its direct path matters most for: 90% induction')
    """
    _check_finite(head, evidence)
    smallest = NEGLIGIBLE * abs(evidence.all_heads)
    measured = [effect for effect in (evidence.effect, evidence.given_alike) if effect is not None]
    deciding = next((effect for effect in measured if _counts(effect, smallest)), None)
    if deciding is None:
        return HeadType(("inactive",), f"removing it costs {_in_nats(evidence.effect)}")
    if deciding.value < 0:
        where = "" if deciding is evidence.effect else ", those that attend alike being removed already,"
        return HeadType(("suppression",), f"removing it{where} lowers the loss: effect {_in_nats(deciding)}")
    by_attention = [_previous_token(evidence), _current_token(evidence)] if head[0] == 0 else []
    found = [*by_attention, _by_tokens(evidence, smallest)]
    labels = tuple(label for label, _ in found if label)
    return HeadType(labels or ("mixed",), "; ".join(why for _, why in found if why))


def _previous_token(evidence: Evidence) -> tuple[str, str]:
    """The label, or none; and what was seen, where the head looks there."""
    before = evidence.offsets[1]
    others = max((share for back, share in enumerate(evidence.offsets) if back != 1), default=0.0)
    if before < PREVIOUS_TOKEN or before <= others:
        return "", ""
    why = (
        f"attends {before:.2f} to the token before, at most {others:.2f} elsewhere; through keys of the next layer "
        f"{evidence.keys:.3f} nats per token, directly {evidence.direct.value:.3f}"
    )
    return ("previous-token" if evidence.keys > evidence.direct.value else ""), why


def _current_token(evidence: Evidence) -> tuple[str, str]:
    if evidence.offsets[0] < CURRENT_TOKEN:
        return "", ""
    why = f"attends {evidence.offsets[0]:.2f} to the token itself; with that alone {evidence.kept:.0%} of its effect"
    return ("current-token" if evidence.kept >= KEPT else ""), why


def _by_tokens(evidence: Evidence, smallest: float) -> tuple[str, str]:
    if not _counts(evidence.direct, smallest) or evidence.direct.value < 0:
        return "", f"its direct path to the output counts for nothing: cutting it costs {_in_nats(evidence.direct)}"
    shares = {label: sum(evidence.affected.get(kind, 0.0) for kind in kinds) for label, kinds in GROUPS.items()}
    largest = max(shares.values())
    first = [label for label, share in shares.items() if share == largest and share > 0]
    parts = ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in evidence.affected.items() if share > 0)
    return (first[0] if len(first) == 1 else ""), f"its direct path matters most for: {parts or 'no known kind'}"


def alike(previous_token: Mapping[Head, float], current_token: Mapping[Head, float]) -> dict[Head, tuple[Head, ...]]:
    """Heads of the first layer that attend to the token before, or to the token itself, with those that do the same.

    Raises ValueError for a score that is not a number.
    """
    groups: dict[Head, tuple[Head, ...]] = {}
    for scores in (previous_token, current_token):
        _check_scores(scores)
        group = tuple(head for head, score in scores.items() if head[0] == 0 and score >= ALIKE)
        groups |= dict.fromkeys(group, group)
    return groups


def previous_token_heads(scores: Mapping[Head, float], threshold: float = PREVIOUS_TOKEN) -> list[Head]:
    """Heads whose previous-token score passes the threshold, highest first; the highest alone when none does.

    Raises ValueError for a score that is not a number.
    """
    return _above({head: score for head, score in scores.items() if head[0] == 0}, threshold)


def induction_heads(scores: Mapping[Head, float], threshold: float = PREFIX_MATCHING) -> list[Head]:
    """Heads after layer 0 whose prefix-matching score passes the threshold, highest first; the highest if none does.

    Raises ValueError for a score that is not a number.
    """
    return _above({head: score for head, score in scores.items() if head[0] > 0}, threshold)


def _counts(effect: Estimate, smallest: float) -> bool:
    """Does the whole 95% confidence interval of the effect lie beyond the smallest one that counts, on either side?"""
    return max(effect.interval[0], -effect.interval[1]) > smallest


def _in_nats(effect: Estimate) -> str:
    return f"{effect.value:.4f} ± {effect.interval[1] - effect.value:.4f} nats per token"


def _check_finite(head: Head, evidence: Evidence) -> None:
    """Raises ValueError for evidence that is not a number: no rule holds for it, so it would be told as nothing."""
    estimates = {name: getattr(evidence, name) for name in ("effect", "direct", "given_alike")}
    numbers = {name: getattr(evidence, name) for name in ("kept", "keys", "all_heads")}
    numbers |= {f"attention {back} back": share for back, share in enumerate(evidence.offsets)}
    for name, estimate in estimates.items():
        if estimate is not None:
            numbers |= {name: estimate.value, f"standard error of {name}": estimate.se}
    unknown = next((name for name, number in numbers.items() if not math.isfinite(number)), None)
    if unknown:
        raise ValueError(
            f"{head_name(head)}: {unknown} is {numbers[unknown]}: a type needs finite evidence, "
            "measure it again on text of two documents or more, or leave this head out"
        )


def _check_scores(scores: Mapping[Head, float]) -> None:
    """Raises ValueError for NaN, which no threshold holds for and which has no place in an order."""
    unknown = next((head for head, score in scores.items() if math.isnan(score)), None)
    if unknown is not None:
        raise ValueError(f"the score of {head_name(unknown)} is nan: measure it again, or leave this head out")


def _above(scores: Mapping[Head, float], threshold: float) -> list[Head]:
    """Heads with a score above the threshold, highest first; the highest alone when none has."""
    _check_scores(scores)
    ranked = sorted(scores, key=lambda head: (-scores[head], head))
    return [head for head in ranked if scores[head] > threshold] or ranked[:1]
