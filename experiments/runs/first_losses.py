"""The loss of a run's model beside that of token frequencies: wrong positions, scales or texts are seen at once."""

from typing import NamedTuple

import numpy as np
import torch

from ablations import forward
from experiments.runs.run import Run

TOKENS = 16_384  # of held-out text, at most
AT_ONCE = 2048  # tokens whose logits are in memory together


class Losses(NamedTuple):
    """Means over the same tokens of held-out text, in nats per token."""

    model: float
    unigram: float  # of the frequencies of tokens in the training text, each counted once more than it occurs
    tokens: int


def measure(run: Run, step: int) -> Losses:
    """The losses of a checkpoint on the first rows of held-out text; raises as `Run.model` and `Run.corpus` do."""
    train, test, cfg = run.corpus("train"), run.corpus("test"), run.model_config()
    rows = test.batch(slice(0, max(1, TOKENS // cfg.n_ctx)))
    weights = forward.weights_of(run.bare_model(step))
    losses = []
    with torch.no_grad():
        for part in rows.split(max(1, AT_ONCE // cfg.n_ctx)):
            residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, part), 0, cfg.n_layers)
            losses.append(forward.token_losses(weights, cfg, residual, part).double())
    counts = 1.0 + np.bincount(np.asarray(train.tokens[:, 1:]).ravel(), minlength=cfg.d_vocab)
    targets = rows[:, 1:].numpy()
    unigram = -np.log(counts / counts.sum())[targets]
    return Losses(float(torch.cat(losses).mean()), float(unigram.mean()), targets.size)


def sentence(losses: Losses, step: int) -> str:
    """The losses in words, with a warning where the model predicts no better than frequencies of tokens."""
    said = (
        f"step {step}: loss {losses.model:.2f} nats per token on {losses.tokens} tokens of held-out text; "
        f"{losses.unigram:.2f} by the frequencies of tokens alone"
    )
    if losses.model < losses.unigram:
        return said
    return (
        f"{said}. The model predicts no better than these: unless it is untrained, its positions, its scale of "
        "attention, its tokenizer or the text are not those that it was trained with"
    )
