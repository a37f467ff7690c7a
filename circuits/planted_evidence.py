"""The evidence for head types in a planted model: its heads' attention, and what removing them does to its answers."""

import numpy as np
import torch

from ablations import forward, rerun, substitutes
from ablations.changes import Change
from ablations.effects import Estimate, clustered
from ablations.names import Head, all_heads
from ablations.paths import OUTPUT, Path
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
    heads, runs, own = all_heads(plant.model.cfg), _runs(plant), _own_runs(plant)
    offsets = dict(zip(heads, _offsets(plant), strict=True))
    groups = classify.alike(*({head: looks[back] for head, looks in offsets.items()} for back in (1, 0)))
    kinds = np.array([KIND_OF_TASK[task.name] for task in plant.tasks for _ in task.right])
    every, by_head = float(_effects(runs, Change(heads=tuple(heads))).mean()), {}
    for head in heads:
        removed, direct = _effects(runs, Change(heads=(head,))), _effects(runs, Change(cuts=(Path(head, OUTPUT),)))
        others = tuple(other for other in groups.get(head, ()) if other != head)
        joint = (_effects(runs, Change(heads=part)) for part in ((head, *others), others))
        given = _estimate(np.subtract(*joint)) if others else None
        mean, alone = float(removed.mean()), float(_effects(own, Change(heads=(head,))).mean())
        into_keys = tuple(Path(head, later, "k") for later in heads if later[0] == head[0] + 1)
        keys = float(_effects(runs, Change(cuts=into_keys)).mean()) if into_keys else 0.0
        top = np.argsort(-direct, kind="stable")[:MOST_AFFECTED]
        shares = {kind: float((kinds[top] == kind).mean()) for kind in token_kinds.KINDS}
        by_head[head] = Evidence(
            _estimate(removed),
            offsets[head],
            1 - alone / mean if mean else 0.0,
            keys,
            _estimate(direct),
            shares,
            every,
            given,
        )
    return by_head


def _estimate(values: np.ndarray) -> Estimate:
    """The mean over prompts, which are independent here, and its standard error."""
    return clustered(values, np.arange(len(values)))


def _offsets(plant: Plant) -> list[tuple[float, ...]]:
    """Attention of every head to the token itself, the one before, and so on, on random tokens."""
    counts = np.array([0] + [1] * (VOCABULARY - 1))
    rows = scores.random_rows(counts, 32, CONTEXT // 2, 0)
    seen = [scores.by_offset(_patterns(plant, rows, layer), CONTEXT // 2 - 1).mean(0) for layer in range(2)]
    return [tuple(head.tolist()) for head in torch.cat(seen)]


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


def _own_runs(plant: Plant) -> list[tuple[Task, list[rerun.Run]]]:
    """The same, with what each head would write if it attended to the token itself alone."""
    weights, cfg, by_task = forward.weights_of(plant.model), plant.model.cfg, []
    for task in plant.tasks:
        with torch.no_grad():
            clean, values = rerun.clean_run(weights, cfg, task.clean), substitutes.own_values(weights, cfg, task.clean)
            by_task.append((task, [rerun.prepare(weights, cfg, clean, values(slice(None))[0])]))
    return by_task


def _effects(runs: list[tuple[Task, list[rerun.Run]]], change: Change) -> np.ndarray:
    """Loss of the right answer with this change minus loss without, by prompt."""
    by_task = []
    with torch.no_grad():
        for task, draws in runs:
            before = _losses(draws[0], task, Change())
            by_task.append(torch.stack([_losses(run, task, change) - before for run in draws]).mean(0))
    return torch.cat(by_task).double().numpy()


def _losses(run: rerun.Run, task: Task, change: Change) -> torch.Tensor:
    """Loss of the right answers under a change, by prompt in nats."""
    logits = forward.unembed(run.weights, run.cfg, rerun.final_residual(run, change)[:, -1:])[:, 0]
    return -logits.log_softmax(-1)[torch.arange(len(task.right)), task.right]
