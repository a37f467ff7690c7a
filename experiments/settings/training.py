"""Training of a setting's network by Adam, its parameters kept at some steps."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def by_adam(
    weights: Tensor,
    steps: Iterable[int],
    loss: Callable[[Tensor], Tensor],
    rate: Callable[[int, int], float],
    clip: float = float("inf"),
) -> dict[int, Tensor]:
    """Parameters after these numbers of updates, the last of them the end of training.

    Arguments:

        weights  those at the start
        steps    numbers of updates
        loss     of the weights as they are; called once for each update, so that it may draw new data
        rate     the learning rate, of the number of updates that were done and that of all
        clip     the largest norm of a gradient
    """
    weights = weights.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], betas=(0.9, 0.98))
    wanted, kept = set(steps), {}
    last = max(wanted)
    for step in range(last + 1):
        if step in wanted:
            kept[step] = weights.detach().clone()
        if step == last:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(step, last)
        optimizer.zero_grad()
        loss(weights).backward()
        if clip < float("inf"):
            torch.nn.utils.clip_grad_norm_([weights], clip)
        optimizer.step()
    return kept
