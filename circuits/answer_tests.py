"""Does what was done to a model change its answers, and not just its logits?"""

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from circuits.tasks import Task


def p_value(task: Task, change: Float[Tensor, "prompt vocab"]) -> float:
    """p of a change of logits: is it the same way on most prompts, and more to their answers than to other tokens?

    Either test alone finds what is not there: a small effect of noise on every prompt with these answers is the same
    way on all; and where answers are tokens whose logits move more than others', right and wrong swapped at random
    still differ more than other tokens do. Both must hold, so p is the larger of the two (Berger 1982).
    """
    prompts = torch.arange(len(change))
    difference = (change[prompts, task.right] - change[prompts, task.wrong]).double().numpy()
    if np.ptp(difference) == 0:
        return 1.0
    return max(relabelling_p(task, change), float(stats.ttest_1samp(difference, 0.0).pvalue))


def relabelling_p(task: Task, change: Float[Tensor, "prompt vocab"]) -> float:
    """p of a change of logits: is it more to the answers than what it is to other tokens?

    The null relabels the answers: a random permutation of the vocabulary is applied to them. Prompts that share answers
    are not independent, and a random path does have small effects on every pair of tokens; under the null both are as
    they are. With A[t, v] the change of logit v, summed over prompts whose right answer is t and subtracted over those
    whose wrong answer is t, the statistic is the trace of A; its mean and variance over permutations are Hoeffding's
    (1951). Two-sided, by Student's t with as many degrees of freedom as there are other tokens.
    """
    by_answer = change.new_zeros(change.shape[1], change.shape[1])
    by_answer.index_add_(0, task.right, change).index_add_(0, task.wrong, -change)
    return _trace_p_value(by_answer.double().numpy())


def _trace_p_value(change: Float[np.ndarray, "answer vocab"]) -> float:
    """Two-sided p of the trace of a square matrix under permutations of its columns."""
    rows, columns = change.mean(1, keepdims=True), change.mean(0, keepdims=True)
    centred = change - rows - columns + change.mean()
    sd = float(np.sqrt((centred**2).sum() / (len(change) - 1)))
    if sd < 1e-9 * max(1.0, float(np.abs(change).max())):
        return 1.0  # the same for all tokens: nothing is carried
    z = (np.trace(change) - rows.sum()) / sd
    return float(2 * stats.t.sf(abs(z), len(change) - 1))
