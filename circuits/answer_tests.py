"""Does what was done to a model change its answers, and not just its logits?"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import stats
from torch import Tensor

from circuits.tasks import Task

ROWS_AT_ONCE = 16  # of answers, in the arithmetic of double precision


def p_value(task: Task, change: Float[Tensor, "prompt vocab"]) -> float:
    """p of a change of logits: is it the same way on most prompts, and more to their answers than to other tokens?

    Either test alone finds what is not there: a small effect of noise on every prompt with these answers is the same
    way on all; and where answers are tokens whose logits move more than others', right and wrong swapped at random
    still differ more than other tokens do. Both must hold, so p is the larger of the two (Berger 1982).

    Raises ValueError unless there is a change for each of the task's prompts.
    """
    if len(change) != len(task.right):
        raise ValueError(f"changes of {len(change)} prompts, the task has {len(task.right)}: give one of each prompt")
    prompts = torch.arange(len(change))
    difference = (change[prompts, task.right] - change[prompts, task.wrong]).double().numpy()
    if np.ptp(difference) == 0:
        return 1.0
    return max(relabelling_p(task, change), float(stats.ttest_1samp(difference, 0.0).pvalue))


def p_values(
    task: Task, change: Float[Tensor, "prompt vocab"], counts: Float[np.ndarray, "draw prompt"]
) -> Float[np.ndarray, " draw"]:
    """`p_value` on many resamples of the prompts at once; counts: how often each prompt stands in each, as many in all
    as there are prompts.

    A prompt's right answer has weight +1 and its wrong one -1, so columns of A add up to 0, its trace is the sum of the
    differences of the prompts, and the squares that its variance is of are a quadratic form in the counts, of the
    prompts' products.
    """
    size, vocabulary = change.shape
    prompts = torch.arange(size)
    centred = change.double() - change.double().mean(1, keepdim=True)
    difference = (centred[prompts, task.right] - centred[prompts, task.wrong]).numpy()
    products = (_shared_answers(task) * (centred @ centred.T)).numpy()
    total = counts @ difference
    squares = ((counts @ products) * counts).sum(1).clip(0.0)
    variance = (counts @ difference**2 - total**2 / size).clip(0.0) / (size - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = total / np.sqrt(squares / (vocabulary - 1))
        t = total / np.sqrt(size * variance)
    p = 2 * np.maximum(stats.t.sf(abs(z), vocabulary - 1), stats.t.sf(abs(t), size - 1))
    least = 1e-9 * max(1.0, float(change.abs().max()))
    return np.where((squares > (vocabulary - 1) * least**2) & (variance > least**2), p, 1.0)


def _shared_answers(task: Task) -> Float[Tensor, "prompt prompt"]:
    """How many answers each pair of prompts has in common: those that are right in both or wrong in both, less those
    that are right in one and wrong in the other.
    """
    right, wrong = task.right, task.wrong
    alike = [(one[:, None] == other[None]).double() for one in (right, wrong) for other in (right, wrong)]
    return alike[0] - alike[1] - alike[2] + alike[3]


def relabelling_p(task: Task, change: Float[Tensor, "prompt vocab"]) -> float:
    """p of a change of logits: is it more to the answers than what it is to other tokens?

    The null relabels the answers: a random permutation of the vocabulary is applied to them. Prompts that share answers
    are not independent, and a random path does have small effects on every pair of tokens; under the null both are as
    they are. With A[t, v] the change of logit v, summed over prompts whose right answer is t and subtracted over those
    whose wrong answer is t, the statistic is the trace of A; its mean and variance over permutations are Hoeffding's
    (1951). Two-sided, by Student's t with as many degrees of freedom as there are other tokens. Only the rows of A that
    belong to answers are held.
    """
    tokens, places = torch.unique(torch.cat([task.right, task.wrong]), return_inverse=True)
    right, wrong = places.split(len(change))
    by_answer = change.new_zeros(len(tokens), change.shape[1])
    by_answer.index_add_(0, right, change).index_add_(0, wrong, -change)
    return _trace_p_value(by_answer, tokens)


def _trace_p_value(change: Float[Tensor, "answer vocab"], tokens: Int64[Tensor, " answer"]) -> float:
    """Two-sided p of the trace of a square matrix under permutations of its columns.

    change: its rows that are not 0, which are those of `tokens`. With r and c the means of rows and columns and g that
    of all, the variance is sum_tv (A_tv - r_t - c_v + g)^2 / (V - 1), and each row of zeros adds sum_v (c_v - g)^2.
    """
    vocabulary = change.shape[1]
    rows, columns = change.mean(1, dtype=torch.float64), change.sum(0, dtype=torch.float64) / vocabulary
    centred = columns - columns.mean()
    squares = (vocabulary - len(tokens)) * float(centred @ centred)
    for some, means in zip(change.split(ROWS_AT_ONCE), rows.split(ROWS_AT_ONCE), strict=True):
        squares += float((some.double() - means[:, None] - centred).square().sum())
    sd = math.sqrt(squares / (vocabulary - 1))
    if sd < 1e-9 * max(1.0, float(change.abs().max())):
        return 1.0  # the same for all tokens: nothing is carried
    z = float(change[torch.arange(len(tokens)), tokens].sum(dtype=torch.float64) - rows.sum()) / sd
    return float(2 * stats.t.sf(abs(z), vocabulary - 1))
