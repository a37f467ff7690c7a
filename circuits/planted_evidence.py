"""The evidence for head types in a planted model: its heads' attention, and what removing them does to its answers."""

import numpy as np
import torch

from ablations import forward, rerun
from ablations.changes import Change
from ablations.effects import Estimate, clustered
from ablations.names import Head, all_heads
from circuits import classify, scores, token_kinds
from circuits.classify import Evidence
from circuits.planted import CONTEXT, VOCABULARY, Plant
from circuits.tasks import Task

KIND_OF_TASK = {
    "repeats": "induction",
    "nested_brackets": "bracket",
    "skip_trigrams": "skip n-gram",
    "gapped": "skip n-gram",
}
DRAWS = 4  # other prompts that an effect is a mean over
MOST_AFFECTED = 40  # answers of a head whose kind is looked at


def evidence(plant: Plant) -> dict[Head, Evidence]:
    """The evidence for every head of the plant.

    Effects are on the loss of right answers, in nats, by resample ablation with z of other prompts: a mean would be
    shorter, and so make what other heads write louder to a norm.
    """
    heads, runs = all_heads(plant.model.cfg), _runs(plant)
    looks = {head: _looks(plant, head) for head in heads}
    before, itself = ({head: look[place] for head, look in looks.items()} for place in (0, 1))
    groups = classify.alike(before, itself)
    kinds = np.array([KIND_OF_TASK[task.name] for task in plant.tasks for _ in task.right])
    every, by_head = float(_effects(runs, tuple(heads)).mean()), {}
    for head in heads:
        own = _effects(runs, (head,))
        others = tuple(other for other in groups.get(head, ()) if other != head)
        given = _estimate(_effects(runs, (head, *others)) - _effects(runs, others)) if others else None
        top = np.argsort(-own, kind="stable")[:MOST_AFFECTED]
        shares = {kind: float((kinds[top] == kind).mean()) for kind in token_kinds.KINDS}
        by_head[head] = Evidence(_estimate(own), *looks[head], shares, every, given)
    return by_head


def _estimate(values: np.ndarray) -> Estimate:
    """The mean over prompts, which are independent here, and its standard error."""
    return clustered(values, np.arange(len(values)))


def _looks(plant: Plant, head: Head) -> tuple[float, float, float]:
    """Attention to the token before and to the token itself on the prompts, and prefix matching on repeated tokens."""
    layer, number = head
    prompts = torch.cat([task.clean for task in plant.tasks])
    seen = _patterns(plant, prompts, layer)
    half = CONTEXT // 2
    counts = np.array([0] + [1] * (VOCABULARY - 1))
    rows = scores.random_rows(counts, 32, half, 0)
    again = _patterns(plant, scores.repeated(rows), layer)
    return (
        float(scores.previous_token(seen)[:, number].mean()),
        float(scores.current_token(seen)[:, number].mean()),
        float(scores.prefix_matching(again, half)[:, number].mean()),
    )


def _patterns(plant: Plant, tokens: torch.Tensor, layer: int) -> torch.Tensor:
    """Attention of a layer's heads on these tokens [batch, head, query, key]."""
    weights, cfg = forward.weights_of(plant.model), plant.model.cfg
    with torch.no_grad():
        return rerun.patterns(weights, cfg, rerun.clean_run(weights, cfg, tokens), layer)


def _runs(plant: Plant) -> list[tuple[Task, list[rerun.Run]]]:
    """Each task with its clean runs, one for each draw, in which z of other prompts stands in for what is removed."""
    weights, cfg, by_task = forward.weights_of(plant.model), plant.model.cfg, []
    for task in plant.tasks:
        with torch.no_grad():
            clean = rerun.clean_run(weights, cfg, task.clean)
        others = [{h: clean.z[h[0]][:, :, h[1]].roll(draw, 0) for h in all_heads(cfg)} for draw in range(1, DRAWS + 1)]
        by_task.append((task, [rerun.prepare(weights, cfg, clean, other) for other in others]))
    return by_task


def _effects(runs: list[tuple[Task, list[rerun.Run]]], removed: tuple[Head, ...]) -> np.ndarray:
    """Loss of the right answer without these heads minus loss with them, by prompt."""
    by_task = []
    with torch.no_grad():
        for task, draws in runs:
            before = _losses(draws[0], task, Change())
            by_task.append(torch.stack([_losses(run, task, Change(heads=removed)) - before for run in draws]).mean(0))
    return torch.cat(by_task).double().numpy()


def _losses(run: rerun.Run, task: Task, change: Change) -> torch.Tensor:
    """Loss of the right answers under a change, by prompt in nats."""
    logits = forward.unembed(run.weights, run.cfg, rerun.final_residual(run, change)[:, -1:])[:, 0]
    return -logits.log_softmax(-1)[torch.arange(len(task.right)), task.right]
