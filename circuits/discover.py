"""Which paths carry a task: exact effects of all of them, their gradient approximations, and how sure one can be.

A path's effect is metric(clean run in which the path alone carries what its source writes on the corrupted prompt) -
metric(clean run), by prompt; negative: the path carries the task. Paths are direct ones: MLPs, where there are any, are
no sources, and what one between two heads passes on stays as it is. At this size the exact effects of all paths are
cheap, so they are the method, and what approximations are held against. EAP (Syed et al. 2023, arXiv:2310.10348) takes
the gradient of the metric with respect to what the target reads, times the change in what the source writes; EAP-IG
(Hanna et al. 2024, arXiv:2403.17806) the mean of that gradient on the way from the corrupted to the clean embeddings.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor
from transformer_lens import HookedTransformerConfig

from ablations import forward, rerun
from ablations.changes import Change
from ablations.forward import Weights
from ablations.names import all_heads
from ablations.paths import OUTPUT, VIAS, Path, Source, all_paths, check_path
from ablations.rotary import turned
from circuits import answer_tests
from circuits.tasks import Task, logit_difference

Metric = Callable[[Task, Float[Tensor, "prompt last vocab"]], Float[Tensor, " prompt"]]  # of the last token's logits
IG_STEPS = 5


class Effects(NamedTuple):
    """What patching each path by itself does to the metric, by prompt."""

    paths: tuple[Path, ...]
    effect: Float[np.ndarray, "path prompt"]
    clean: Float[np.ndarray, " prompt"]
    corrupted: Float[np.ndarray, " prompt"]
    p: Float[np.ndarray, " path"]  # of an exact effect on the logit difference (`answer_tests`); NaN for attributions


class Circuit(NamedTuple):
    """How well a set of paths does the task; 0 is the run in which every path is patched, 1 the clean one.

    With every path patched, an attention-only model does what it does on corrupted prompts; MLPs are part of no path,
    so what goes through them is left as it is, in both runs.
    """

    faithfulness: float  # with all other paths patched
    completeness: float  # with the circuit's own paths patched: near 0 when nothing of it is missing
    minimality: dict[Path, float]  # faithfulness lost when this path, too, is patched


class RandomCircuits(NamedTuple):
    """The same of random sets of paths; minimality: of one path of each."""

    faithfulness: Float[np.ndarray, " draw"]
    completeness: Float[np.ndarray, " draw"]
    minimality: Float[np.ndarray, " draw"]


def candidates(cfg: HookedTransformerConfig) -> tuple[Path, ...]:
    """Every direct path: from the embedding and from heads, into heads and to the output."""
    heads = all_heads(cfg)
    sources: list[Source] = ["embed", *heads]
    from_embedding = [Path("embed", head, via) for head in heads for via in VIAS]
    to_output = [Path(source, OUTPUT) for source in sources]
    return (*from_embedding, *all_paths(cfg), *to_output)


def exact(
    weights: Weights,
    cfg: HookedTransformerConfig,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
) -> Effects:
    """Patches one path after another, layer norms recomputed, re-running only what follows."""
    with torch.no_grad():
        run, clean, corrupted = _prepared(weights, cfg, task, metric)
        check_paths(paths, cfg)
        before, patched, p = _logits(run, Change()), [], np.empty(len(paths))
        for number, path in enumerate(paths):
            after = _logits(run, Change(cuts=(path,)))
            patched.append(metric(task, after) - clean)
            p[number] = answer_tests.p_value(task, (after - before)[:, -1])
    return _effects(paths, torch.stack(patched), clean, corrupted, p)


def attribution(
    weights: Weights,
    cfg: HookedTransformerConfig,
    task: Task,
    paths: Sequence[Path],
    metric: Metric = logit_difference,
    steps: int = 1,
) -> Effects:
    """The same by gradients: EAP for one step (at the clean prompts), EAP-IG for more (`IG_STEPS` are usual)."""
    if steps < 1:
        raise ValueError(f"steps={steps}: at least one gradient is needed")
    check_paths(paths, cfg)
    with torch.no_grad():
        _, of_clean, of_corrupted = _prepared(weights, cfg, task, metric)
        clean, corrupted = (rerun.clean_run(weights, cfg, tokens) for tokens in (task.clean, task.corrupted))
    start, end = corrupted.residuals[0], clean.residuals[0]
    total: dict[tuple[int, str], Tensor] = {}
    for step in range(1, steps + 1):
        found = _gradients(weights, cfg, start + step / steps * (end - start), lambda logits: metric(task, logits))
        total = {name: total.get(name, 0) + gradient / steps for name, gradient in found.items()}
    effect = torch.stack([_attributed(weights, path, total, clean, corrupted, cfg) for path in paths])
    return _effects(paths, effect, of_clean, of_corrupted, np.full(len(paths), np.nan))


def significant(p: Float[np.ndarray, " path"], rate: float = 0.05) -> Bool[np.ndarray, " path"]:
    """Which p-values pass at this false-discovery rate (Benjamini and Hochberg 1995)."""
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate}: a false-discovery rate is between 0 and 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a p-value is not between 0 and 1: use exact effects, attributions have none")
    return stats.false_discovery_control(p) <= rate


def evaluate(
    weights: Weights,
    cfg: HookedTransformerConfig,
    task: Task,
    circuit: Sequence[Path],
    metric: Metric = logit_difference,
) -> Circuit:
    """Faithfulness, completeness and minimality of a set of paths, among all `candidates`, on mean metrics.

    Raises ValueError where patching everything changes nothing: there is no task to do.
    """
    every = candidates(cfg)
    if unknown := set(circuit) - set(every):
        raise ValueError(f"{next(iter(unknown))} is not a path of this model")
    share = _share_kept(weights, cfg, task, metric)
    rest = [path for path in every if path not in set(circuit)]
    faithful = share(rest)
    minimality = {path: faithful - share([*rest, path]) for path in circuit}
    return Circuit(faithful, share(circuit), minimality)


def random_circuits(
    weights: Weights,
    cfg: HookedTransformerConfig,
    task: Task,
    size: int,
    draws: int = 12,
    seed: int = 0,
    metric: Metric = logit_difference,
) -> RandomCircuits:
    """Random sets of as many paths: what a circuit is to be held against."""
    every = candidates(cfg)
    if not 0 <= size <= len(every) or draws < 1 or seed < 0:
        raise ValueError(
            f"size={size}, draws={draws}, seed={seed}: a circuit has 0 to {len(every)} paths; "
            "draw at least once, with a seed that is not negative"
        )
    generator = np.random.default_rng(seed)
    share, found = _share_kept(weights, cfg, task, metric), np.full((3, draws), np.nan)
    for draw in range(draws):
        order = [every[number] for number in generator.permutation(len(every))]
        found[:2, draw] = share(order[size:]), share(order[:size])
        if size:
            found[2, draw] = found[0, draw] - share(order[size - 1 :])
    return RandomCircuits(*found)


def _share_kept(
    weights: Weights, cfg: HookedTransformerConfig, task: Task, metric: Metric
) -> Callable[[Sequence[Path]], float]:
    """How much of the mean metric is left when these paths are patched: 1 the clean run, 0 the run with all patched."""
    with torch.no_grad():
        run, clean, _ = _prepared(weights, cfg, task, metric)

    def score(patched: Sequence[Path]) -> float:
        with torch.no_grad():
            return float(metric(task, _logits(run, Change(cuts=tuple(patched)))).mean())

    none, whole = score(candidates(cfg)), float(clean.mean())
    if abs(whole - none) < 1e-6:
        raise ValueError("patching every path changes nothing: the model does not do the task")
    return lambda patched: (score(patched) - none) / (whole - none)


def check_paths(paths: Sequence[Path], cfg: HookedTransformerConfig) -> None:
    """Raises ValueError for none, and for one that the model does not have."""
    if not paths:
        raise ValueError("no paths: give at least one, or all `candidates`")
    for path in paths:
        check_path(path, cfg)


def check_task(task: Task, cfg: HookedTransformerConfig) -> None:
    """Raises ValueError for prompts and answers that do not correspond, or that the model cannot read."""
    if task.clean.shape != task.corrupted.shape:
        shapes = f"clean prompts {list(task.clean.shape)}, corrupted prompts {list(task.corrupted.shape)}"
        raise ValueError(f"{shapes}: their positions must correspond, make both as many and as long")
    if not len(task.clean) == len(task.right) == len(task.wrong):
        answers = f"{len(task.right)} right and {len(task.wrong)} wrong answers"
        raise ValueError(f"{len(task.clean)} prompts, {answers}: give one of each for every prompt")
    for tokens in (task.clean, task.corrupted, task.right[:, None], task.wrong[:, None]):
        forward.check_tokens(cfg, tokens)


def _prepared(
    weights: Weights, cfg: HookedTransformerConfig, task: Task, metric: Metric
) -> tuple[rerun.Run, Tensor, Tensor]:
    """The clean run with the corrupted z as what stands in, and the metric of either."""
    check_task(task, cfg)
    clean, corrupted = (rerun.clean_run(weights, cfg, tokens) for tokens in (task.clean, task.corrupted))
    values: dict[Source, Tensor] = {(layer, head): corrupted.z[layer][:, :, head] for layer, head in all_heads(cfg)}
    values["embed"] = F.embedding(task.corrupted, weights["embed.W_E"])
    of_clean, of_corrupted = (
        metric(task, forward.unembed(weights, cfg, run.residuals[-1][:, -1:])) for run in (clean, corrupted)
    )
    return rerun.prepare(weights, cfg, clean, values), of_clean, of_corrupted


def _effects(
    paths: Sequence[Path], effect: Tensor, clean: Tensor, corrupted: Tensor, p: Float[np.ndarray, " path"]
) -> Effects:
    by_prompt, of_clean, of_corrupted = (values.double().numpy() for values in (effect, clean, corrupted))
    return Effects(tuple(paths), by_prompt, of_clean, of_corrupted, p)


def _logits(run: rerun.Run, change: Change) -> Float[Tensor, "prompt last vocab"]:
    """After the last token alone, which is where a task's answer is."""
    return forward.unembed(run.weights, run.cfg, rerun.final_residual(run, change)[:, -1:])


def _gradients(
    weights: Weights, cfg: HookedTransformerConfig, residual: Tensor, metric: Callable[[Tensor], Tensor]
) -> dict[tuple[int, str], Tensor]:
    """Gradient of the metric with respect to heads' inputs, by via [prompt, pos, head, d_model], and to the output."""
    shifts: dict[tuple[int, str], Tensor] = {}
    for layer in range(cfg.n_layers):
        heads = forward.head_weights(weights, layer)
        read: list[Tensor] = []  # queries, keys, values
        for name, weight, bias in (
            ("q", heads.W_Q, heads.b_Q),
            ("k", heads.W_K, heads.b_K),
            ("v", heads.W_V, heads.b_V),
        ):
            shift = residual.new_zeros(*residual.shape[:2], cfg.n_heads, cfg.d_model, requires_grad=True)
            shifts[layer, name] = shift
            normalized = forward.normalize(weights, cfg, f"blocks.{layer}.ln1", residual[:, :, None] + shift)
            if name != "v" and cfg.positional_embedding_type == "shortformer":
                normalized = normalized + weights["pos_embed.W_pos"][: residual.shape[1], None]
            vectors = torch.einsum("bphd,hde->bphe", normalized, weight) + bias
            read.append(vectors if name == "v" else turned(vectors, forward.rotary(weights, cfg, residual.shape[1])))
        query, key, value = read
        residual = forward.after_layer(weights, cfg, layer, residual, forward.attend(query, key, value, cfg.attn_scale))
    shifts[cfg.n_layers, OUTPUT] = torch.zeros_like(residual, requires_grad=True)
    total = metric(forward.unembed(weights, cfg, residual + shifts[cfg.n_layers, OUTPUT])).sum()
    return dict(zip(shifts, torch.autograd.grad(total, list(shifts.values())), strict=True))


def _attributed(
    weights: Weights,
    path: Path,
    gradients: dict[tuple[int, str], Tensor],
    clean: rerun.Clean,
    corrupted: rerun.Clean,
    cfg: HookedTransformerConfig,
) -> Float[Tensor, " prompt"]:
    if isinstance(path.source, str):
        change = corrupted.residuals[0] - clean.residuals[0]
    else:
        layer, head = path.source
        W_O = weights[f"blocks.{layer}.attn.W_O"][head]
        change = (corrupted.z[layer][:, :, head] - clean.z[layer][:, :, head]) @ W_O
    if isinstance(path.target, str):
        return (gradients[cfg.n_layers, OUTPUT] * change).sum((1, 2))
    return (gradients[path.target[0], str(path.via)][:, :, path.target[1]] * change).sum((1, 2))
