"""What each head is, from its attention, from what removing it costs, and from the tokens that this hurts most.

Never from rLLCs, so that rLLCs can be held against it. One rule after another, the first that holds:
    inactive        removing it changes nothing: the 95% interval of the effect reaches to 0, or to 1% of what removing
                    all heads costs (through the scale of the norms any output matters a little), from whichever side;
                    and so does that of removing it where the heads of the first layer that attend as it does are
                    removed already, since one can stand for another
    suppression     removing it makes the loss fall: that interval lies below 0, and beyond that 1%. The head lowers
                    what the others predict rightly (McDougall et al. 2023, arXiv:2310.04625: copy suppression, negative
                    heads); where it attends does not tell what it does, so the rules below are not asked
    previous-token, current-token
                    a head of the first layer whose mean attention to the token before (to the token itself) is at least
                    0.3; both: mixed. In later layers the stream at a place holds what other heads moved there, so
                    where a head looks does not tell what it reads
    induction       a later head whose prefix-matching attention on repeated random tokens is at least 0.25
    bracket, multigram
                    at least half of the tokens it matters most for close a bracket or a quote (complete an n-gram or a
                    skip n-gram that the model predicts from these tokens alone)
    mixed           none of these
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from ablations.effects import Estimate
from ablations.names import Head, head_name

# Far above chance: a head that attends evenly over 100 positions scores 0.01 to 0.05.
PREVIOUS_TOKEN = 0.3
CURRENT_TOKEN = 0.3
PREFIX_MATCHING = 0.25
DOMINANT = 0.5  # of the tokens it matters most for
NEGLIGIBLE = 0.01  # of the effect of removing all heads

TYPES = ("previous-token", "current-token", "induction", "multigram", "bracket", "mixed", "suppression", "inactive")
SCORES = ("previous_token", "current_token", "prefix_matching")  # of attention
GROUPS = {"bracket": ("bracket", "quote"), "multigram": ("n-gram", "skip n-gram")}


class Evidence(NamedTuple):
    """What is known of a head."""

    effect: Estimate  # of removing it, nats per token; positive: it helps
    previous_token: float  # attention scores, 0 to 1
    current_token: float
    prefix_matching: float
    affected: Mapping[str, float]  # of the tokens it matters most for, the share of each kind (`token_kinds.KINDS`)
    all_heads: float = 0.0  # effect of removing all heads at once
    given_alike: Estimate | None = None  # effect of removing it too where the heads that attend alike are removed


class HeadType(NamedTuple):
    """A label and the evidence for it, in words."""

    label: str
    why: str


def head_type(head: Head, evidence: Evidence) -> HeadType:
    """The type of one head, by the first rule that holds, and what speaks for it in words.

    Arguments:

        head      (layer, head)
        evidence  what was measured of it; for a planted model `planted_evidence.evidence` measures it

    Raises ValueError for an effect, its error or an attention score that is not a finite number.

    Example:

        >>> from ablations.effects import Estimate
        >>> from circuits import classify
        >>> evidence = classify.Evidence(
        ...     Estimate(2.0, se=0.1), previous_token=0.0, current_token=0.0, prefix_matching=0.9, affected={}
        ... )
        >>> classify.head_type((1, 2), evidence)
        HeadType(label='induction', why='attends 0.90 to what followed the token before')
    """
    _check_finite(head, evidence)
    smallest = NEGLIGIBLE * abs(evidence.all_heads)
    measured = [effect for effect in (evidence.effect, evidence.given_alike) if effect is not None]
    deciding = next((effect for effect in measured if _counts(effect, smallest)), None)
    if deciding is None:
        return HeadType("inactive", f"removing it costs {_in_nats(evidence.effect)}")
    if deciding.value < 0:
        where = "" if deciding is evidence.effect else ", those that attend alike being removed already,"
        return HeadType("suppression", f"removing it{where} lowers the loss: effect {_in_nats(deciding)}")
    before, itself = evidence.previous_token >= PREVIOUS_TOKEN, evidence.current_token >= CURRENT_TOKEN
    if head[0] == 0 and (before or itself):
        label = "mixed" if before and itself else "previous-token" if before else "current-token"
        attends = f"{evidence.previous_token:.2f} to the token before, {evidence.current_token:.2f} to the token itself"
        return HeadType(label, f"attends {attends}")
    if head[0] > 0 and evidence.prefix_matching >= PREFIX_MATCHING:
        return HeadType("induction", f"attends {evidence.prefix_matching:.2f} to what followed the token before")
    shares = {label: sum(evidence.affected.get(kind, 0.0) for kind in kinds) for label, kinds in GROUPS.items()}
    label = max(shares, key=lambda group: shares[group])
    parts = ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in evidence.affected.items() if share > 0)
    why = f"of the tokens it matters most for: {parts or 'none of a known kind'}"
    return HeadType(label if shares[label] >= DOMINANT else "mixed", why)


def alike(previous_token: Mapping[Head, float], current_token: Mapping[Head, float]) -> dict[Head, tuple[Head, ...]]:
    """Heads of the first layer that attend to the token before, or to the token itself, with those that do the same.

    Raises ValueError for a score that is not a number.
    """
    groups: dict[Head, tuple[Head, ...]] = {}
    for scores, threshold in ((previous_token, PREVIOUS_TOKEN), (current_token, CURRENT_TOKEN)):
        _check_scores(scores)
        group = tuple(head for head, score in scores.items() if head[0] == 0 and score >= threshold)
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
    estimates = {"effect": evidence.effect, "given_alike": evidence.given_alike or evidence.effect}
    numbers = {name: getattr(evidence, name) for name in (*SCORES, "all_heads")}
    for name, estimate in estimates.items():
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
