"""Does what is left of the model without a circuit still know of the task?

Shi et al. (arXiv:2410.13032) ask whether the metric of the complement (all of the circuit's paths patched) is
independent of the model's own over prompts, by a kernel criterion with permuted prompts. On plants, whose circuits are
known, that rejects true circuits: prompts that share answers are no independent units, and the weights' noise is the
same in both runs. Here the complement's logits are held against those with every path patched: are they different the
same way on most prompts, and more for the answers than for other tokens (answer_tests.py)?
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from circuits import answer_tests
from circuits.tasks import Task


class Independence(NamedTuple):
    """A small p shows that the task is still known; a large one that nothing was seen."""

    share: float  # of the task that is left; 0 is none, 1 all
    p: float


def independence(
    task: Task, complement: Float[Tensor, "prompt vocab"], none: Float[Tensor, "prompt vocab"], share: float
) -> Independence:
    """Holds the logits after the last token with the circuit's paths patched against those with all paths patched.

    share: of the task that is left in the former, for the record.
    """
    return Independence(share, answer_tests.p_value(task, complement - none))
