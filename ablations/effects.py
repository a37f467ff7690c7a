"""What an intervention costs: per-token losses with and without it, and their means with clustered standard errors.

Signs: an effect is loss(intervened) - loss(clean) in nats; positive means that the part helps.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from scipy import stats
from torch import Tensor

from ablations import padding, sums
from ablations.forward import check_targets, check_tokens
from ablations.heads import Interventions
from ablations.models import Model, as_model
from ablations.not_measurable import NotMeasurable
from ablations.prompts import Prompts, as_tokens
from ablations.running import as_in_workers
from ablations.transformer import Transformer

FEWEST_DEGREES = 1.0  # where nearly all units are of one document: below, the quantile tells of nothing but that


class Estimate(NamedTuple):
    """A mean, its standard error, and the degrees of freedom that this error has: infinite where it is known well."""

    value: float
    se: float
    degrees: float = math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95% confidence interval, by Student's t with these degrees of freedom."""
        margin = float(stats.t.ppf(0.975, self.degrees)) * self.se
        return self.value - margin, self.value + margin


class ClusterSums(NamedTuple):
    """Sums of many quantities over documents, so that a stream of any length is kept as one number for each."""

    documents: Shaped[np.ndarray, " document"]
    sums: Float[np.ndarray, "quantity document"]
    counts: Float[np.ndarray, " document"]


@as_in_workers()
def token_losses(
    model: Model, tokens: Prompts, interventions: Interventions | None = None
) -> Float[Tensor, "batch predicted"]:
    """Cross-entropy of every next token (entry [b, i] is the loss on tokens[b, i + 1]) under the interventions; NaN for
    padding (`ablations.padding`).

    The model's flags and hooks are as before afterwards, also after an exception. Raises ValueError for a hook that the
    model does not have, for interventions that contradict each other, and for a next token without a logit, and
    RuntimeError for a hook that did not fire.
    """
    model = as_model(model)
    tokens = _text(model, tokens)
    return _cross_entropy(model, run(model, tokens, interventions or []), tokens)


@as_in_workers()
def token_effects(model: Model, tokens: Prompts, interventions: Interventions) -> Float[Tensor, "batch predicted"]:
    """Loss with the interventions minus loss without, of every next token, both runs under the same flags."""
    model = as_model(model)
    tokens = _text(model, tokens)
    changed = run(model, tokens, interventions)
    clean = run(model, tokens, [], flags_of=interventions)
    return _cross_entropy(model, changed, tokens) - _cross_entropy(model, clean, tokens)


def run(
    model: Model,
    tokens: Prompts,
    interventions: Interventions,
    flags_of: Interventions | None = None,
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits under the interventions; flags_of: run under the flags that these need, for a fair comparison.

    A sum of interventions is a set of changes: its order does not matter (`sums`). Errors, and what is left
    untouched, as in `token_losses`.
    """
    model = as_model(model)
    tokens = as_tokens(model, tokens)
    check_tokens(model.cfg, tokens)
    fired: set[int] = set()

    def watched(number: int, function):  # type: ignore[no-untyped-def]
        def hook(activation, hook):  # type: ignore[no-untyped-def]
            fired.add(number)
            return function(activation, hook=hook)

        return hook

    needed = [name for name, _ in (interventions if flags_of is None else flags_of)]
    split, mlps = (any(name.endswith(ends) for name in needed) for ends in (_SPLIT, _MLP_INPUT))
    with _flags(model, split, mlps and not isinstance(model, Transformer)):
        unknown = [name for name, _ in interventions if name not in model.hook_dict]
        if unknown:
            raise ValueError(f"the model has no hook {unknown[0]}: see model.hook_dict for those it has")
        every = sums.as_hooks(model, interventions)
        watching = [(name, watched(number, function)) for number, (name, function) in enumerate(every)]
        with torch.no_grad():
            logits = model.run_with_hooks(tokens, return_type="logits", fwd_hooks=watching)
    silent = [name for number, (name, _) in enumerate(every) if number not in fired]
    if silent:
        raise RuntimeError(f"hook {silent[0]} did not fire: the intervention changed nothing")
    return logits


_SPLIT = ("hook_q_input", "hook_k_input", "hook_v_input")
_MLP_INPUT = "hook_mlp_in"  # a Transformer always has it


@contextmanager
def _flags(model: Model, split: bool, mlps: bool) -> Iterator[None]:
    """Inputs of heads apart from each other, and inputs of MLPs, while this lasts, where interventions need it."""
    before = (model if isinstance(model, Transformer) else model.cfg).use_split_qkv_input
    before_mlps = mlps and model.cfg.use_hook_mlp_in
    try:
        if split:
            model.set_use_split_qkv_input(True)
        if mlps:
            model.set_use_hook_mlp_in(True)
        yield
    finally:
        if split:
            model.set_use_split_qkv_input(before)
        if mlps:
            model.set_use_hook_mlp_in(before_mlps)


def _text(model: Model, prompts: Prompts) -> Int64[Tensor, "batch pos"]:
    """Prompts as tokens whose losses can be taken; raises ValueError for others."""
    tokens = as_tokens(model, prompts)
    check_tokens(model.cfg, tokens)
    check_targets(model.cfg, tokens[:, 1:])
    return tokens


def _cross_entropy(model: Model, logits: Tensor, tokens: Tensor) -> Float[Tensor, "batch predicted"]:
    targets = tokens[:, 1:].to(logits.device)
    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    return padding.hidden(padding.is_text(padding.padding_of(model), tokens), losses)


def clustered(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """The mean of values [unit] and its standard error when units of one cluster (a document) are not independent.

    The error is the jackknife's over clusters, ((C - 1) / C sum_c (m_c - m)^2)^(1/2), m_c the mean without cluster c,
    which is the usual one where clusters have one size. Its degrees of freedom are C - 1 then, and otherwise
    (sum_c n_c)^2 / sum_c n_c^2 - 1, which long documents lower. Its 95% interval holds the mean in 93 to 97% of cases
    from 5 clusters on where effects are spread evenly about their mean, also where a few are large; in 80 to 92% below
    50 clusters where they are skewed, as no interval does that was tried (tests/ablations/test_few_documents.py).
    clusters: labels of any kind that can be sorted. Raises ValueError for labels that are missing (NaN, None) or of
    mixed kinds, and NotMeasurable with fewer than two clusters.
    """
    values, labels = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if labels.shape != values.shape:
        raise ValueError(
            f"values of shape {list(values.shape)} and clusters of shape {list(labels.shape)}: give one label for each "
            "value, that of its document"
        )
    return estimates(cluster_sums(values[None], labels))[0]


def cluster_sums(values: Float[np.ndarray, "quantity unit"], clusters: Shaped[np.ndarray, " unit"]) -> ClusterSums:
    """Sums over the units of each cluster (a document); errors as in `clustered`."""
    documents, index = _distinct(np.asarray(clusters))
    sums = np.stack([np.bincount(index, weights=row, minlength=len(documents)) for row in values])
    return ClusterSums(documents, sums, np.bincount(index, minlength=len(documents)).astype(np.float64))


def _distinct(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different labels, sorted, and which of them each is."""
    if (labels != labels).any() or (labels.dtype == object and any(label is None for label in labels)):
        raise ValueError("a label of a cluster is missing (NaN or None): give every unit the name of its document")
    try:
        documents, index = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"labels of clusters of mixed kinds ({error}): give all as numbers or all as text") from error
    return documents, index.ravel()


def merged(parts: Sequence[ClusterSums]) -> ClusterSums:
    """The sums of several parts of a stream; a document may be in more than one."""
    documents, index = _distinct(np.concatenate([part.documents for part in parts]))
    sums = np.zeros((len(parts[0].sums), len(documents)))
    for row, of_parts in zip(sums, np.concatenate([part.sums for part in parts], axis=1), strict=True):
        row += np.bincount(index, weights=of_parts, minlength=len(documents))
    counts = np.bincount(index, weights=np.concatenate([part.counts for part in parts]), minlength=len(documents))
    return ClusterSums(documents, sums, counts)


def estimates(sums: ClusterSums) -> list[Estimate]:
    """The mean over units of every quantity, its standard error and degrees of freedom, as `clustered` gives them."""
    count, total = len(sums.documents), sums.counts.sum()
    if count < 2:
        raise NotMeasurable(f"{count} documents: a standard error needs at least two")
    means = sums.sums.sum(1) / total
    errors = np.sqrt((count - 1) / count * (pulls(sums) ** 2).sum(1))
    degrees = degrees_of_freedom(sums.counts)
    return [Estimate(float(mean), float(error), degrees) for mean, error in zip(means, errors, strict=True)]


def pulls(sums: ClusterSums) -> Float[np.ndarray, "quantity document"]:
    """How far each document pulls the mean: the mean less the mean without the document."""
    total = sums.counts.sum()
    means = sums.sums.sum(1) / total
    return (sums.sums - means[:, None] * sums.counts) / (total - sums.counts)


def degrees_of_freedom(counts: Float[np.ndarray, " document"]) -> float:
    """Of an error over documents with so many units each: their number less one, fewer where sizes differ.

    (sum n)^2 / sum n^2 - 1, at least `FEWEST_DEGREES`: documents of one size with as large a variance of the mean, if
    each document's mean varies alike (the effective number of clusters of Carter, Schnepel and Steigerwald 2017).
    """
    return max(FEWEST_DEGREES, float(counts.sum() ** 2 / (counts**2).sum()) - 1)
