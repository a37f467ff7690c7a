"""What the model in the page runs on: weights in 16 bits, what stands in for removed heads, and texts to begin with."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablations import forward, substitutes
from ablations.models import Config
from ablations.names import all_heads, head_name
from ablations.not_measurable import NotMeasurable
from experiments.explorer import vocabulary
from experiments.results.cells import Cells

CHECKPOINTS = 3  # whose weights are in the page, at most
BYTES = 6_500_000  # of all weights in the page, at most (in base64 a third more)
EXAMPLES, TEXTS, SHOWN = 4, 24, 64  # rows of held-out text to begin with, and to look for tokens in; their tokens
NORMS = ("LN", "LNPre", "RMS", "RMSPre", None)
POSITIONS = ("shortformer", "standard", "rotary")


def of_run(cells: Cells) -> dict[str, Any]:
    """config, tokenizer, layout (name and size of each parameter), checkpoints (step, weights, means, embedding),
    examples (tokens of held-out text to begin with) and texts (tokens of held-out text, in which those that a part
    matters for are looked for).

    weights: float16 in base64, the parameters one after another; means: z of every head, and embedding: what the
    embedding writes, both averaged over the reference rows of the held-out text by the rounded model.

    Raises NotMeasurable for a model or a tokenizer that the page cannot run.
    """
    cfg = cells.run.model_config()
    check(cfg)
    names = sorted(forward.parameters_of(cells.inputs.model(cells.run.steps[-1])))
    first = rounded(cells, cells.run.steps[-1])
    layout = [{"name": name, "size": first[name].numel()} for name in names]
    size = 2 * sum(first[name].numel() for name in names)
    if size > BYTES:
        raise NotMeasurable(f"its weights take {size / 1e6:.0f} MB: the page holds up to {BYTES / 1e6:.1f} MB of them")
    chosen = _chosen_steps(cells.run.steps, min(CHECKPOINTS, BYTES // size))
    return {
        "config": config(cfg),
        "tokenizer": vocabulary.of_tokenizer(cells.run.tokenizer),
        "layout": layout,
        "checkpoints": [_checkpoint(cells, step, names) for step in chosen],
        "examples": _examples(cells),
        "texts": _beginnings(cells, TEXTS),
    }


def check(cfg: Config) -> None:
    """Raises NotMeasurable, in one line, for a model that the page's forward pass does not compute."""
    reasons = {
        "it has MLPs": not cfg.attn_only,
        f"its norms are {cfg.normalization_type}": cfg.normalization_type not in NORMS,
        f"its positions are {cfg.positional_embedding_type}": cfg.positional_embedding_type not in POSITIONS,
        "its heads share keys and values": cfg.n_key_value_heads not in (None, cfg.n_heads),
        "it predicts other tokens than it reads": cfg.d_vocab_out != cfg.d_vocab,
    }
    if reason := next((reason for reason, holds in reasons.items() if holds), ""):
        raise NotMeasurable(
            f"{reason}: the page runs attention-only models with layer or RMS norms and learned or rotary positions"
        )


def rounded(cells: Cells, step: int) -> dict[str, Tensor]:
    """The weights of a checkpoint, rounded to 16 bits, in 32: the model that runs in the page."""
    weights = forward.weights_of(cells.inputs.model(step))
    return {name: weight.half().float() for name, weight in weights.items()}


def means(cells: Cells, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What stands in for each source under mean ablation: z of heads [d_head], by name, and "embed" [d_model]."""
    cfg, reference = cells.run.model_config(), cells.inputs.reference
    of_heads = substitutes.mean_z(weights, cfg, reference)
    embedding = weights["embed.W_E"][reference].mean((0, 1))
    return {"embed": embedding} | {head_name(head): of_heads[head] for head in all_heads(cfg)}


def _chosen_steps(steps: Sequence[int], count: int) -> list[int]:
    """The last checkpoint, and those nearest in number to equal parts of the way to it; none of them the first."""
    last = len(steps) - 1
    return sorted({steps[max(min(1, last), round(last * part / count))] for part in range(1, count + 1)})


def _checkpoint(cells: Cells, step: int, names: Sequence[str]) -> dict[str, Any]:
    weights = rounded(cells, step)
    of_sources = {name: listed(value) for name, value in means(cells, weights).items()}
    return {"step": step, "weights": packed(weights, names), "means": of_sources}


def packed(weights: Mapping[str, Tensor], names: Sequence[str]) -> str:
    """Weights one after another in this order, in 16 bits and base64: what `weights.js` unpacks."""
    flat = np.concatenate([weights[name].numpy().ravel() for name in names])
    return base64.b64encode(flat.astype("<f2").tobytes()).decode()


def listed(values: Tensor) -> list[float]:
    """Numbers with as many digits as 32 bits hold."""
    return [float(f"{value:.9g}") for value in values.tolist()]


def config(cfg: Config) -> dict[str, Any]:
    """The architecture under the names of `model.js`."""
    return {
        "layers": cfg.n_layers,
        "heads": cfg.n_heads,
        "width": cfg.d_model,
        "headWidth": cfg.d_head,
        "vocabulary": cfg.d_vocab,
        "context": cfg.n_ctx,
        "eps": float(cfg.eps),
        "scale": float(cfg.attn_scale),
        "norms": cfg.normalization_type is not None,
        "centred": "RMS" not in (cfg.normalization_type or ""),
        "positions": cfg.positional_embedding_type,
        "rotary": _rotary(cfg),
    }


def _rotary(cfg: Config) -> dict[str, Any] | None:
    """How many components are turned, by which angles, whether pairs are neighbours; None without such positions."""
    if cfg.positional_embedding_type != "rotary":
        return None
    assert cfg.rotary_dim is not None and cfg.rotary_base is not None
    return {"width": cfg.rotary_dim, "base": float(cfg.rotary_base), "adjacent": bool(cfg.rotary_adjacent_pairs)}


def _examples(cells: Cells) -> list[list[int]]:
    """The beginnings of rows of held-out text, and one of them whose first half stands twice."""
    beginnings = _beginnings(cells, EXAMPLES)
    if not beginnings:
        return []
    half = beginnings[0][1 : (len(beginnings[0]) - 1) // 2 + 1]
    return [[beginnings[0][0], *half, *half], *beginnings]


def _beginnings(cells: Cells, count: int) -> list[list[int]]:
    """The first tokens of some rows of held-out text, evenly chosen."""
    length, rows = min(SHOWN, cells.run.config["model"]["n_ctx"]), cells.inputs.free_text
    if len(rows) == 0:
        return []
    chosen = torch.linspace(0, len(rows) - 1, count).long().unique().tolist()
    return rows.batch(chosen)[:, :length].tolist()
