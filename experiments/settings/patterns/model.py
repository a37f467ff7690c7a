"""Text with a given number of patterns, and a small model trained on it.

The text is the synthetic language's with trigrams alone (experiments.corpora.synthetic_language): contexts of two
words, each of which is followed by a target of its own four times in five. In the first so many of its 256 trigrams the
target is left as it is; after all other contexts stands a plain word drawn anew each time. So texts differ in the
number of patterns, while contexts, their frequencies and nearly those of all words are the same, and each pattern is as
frequent in one text as in another. In the control the words of each document are shuffled, which leaves no pattern at
all.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

from ablations import models
from ablations.models import Model
from experiments.corpora import synthetic_language, synthetic_text

PLANTED, LENGTH, DOCUMENTS, HELD_OUT = 256, 30, 4000, 500
LANGUAGE = (
    f"synthetic:trigrams={PLANTED},bigrams=0,fourgrams=0,skip_bigrams=0,skip_trigrams=0,trigram_rate=0.4,"
    f"repeat_rate=0,bracket_rate=0,length={LENGTH}"
)
SIZES = {"n_layers": 2, "d_model": 32, "n_heads": 4, "d_head": 8, "n_ctx": LENGTH + 1, "d_vocab": 320}
STEPS, BATCH, LR = 600, 32, 5e-3
DUE = [synthetic_text.KINDS.index(kind) for kind in ("target", "miss")]


class Text(NamedTuple):
    """Rows of one document each, which begin with BOS."""

    tokens: Int64[Tensor, "row pos"]
    due: Bool[Tensor, "row predicted"]  # where a pattern's target is due
    log_probability: Float[Tensor, "row predicted"]  # the language's own, of the token there; it holds where due


def text(kept: int, seed: int, *, shuffled: bool = False) -> Text:
    """Documents with so many patterns; shuffled: with the same words in random order."""
    planted = synthetic_language.truth(synthetic_language.parse(f"{LANGUAGE},seed={seed}"))
    pages = [synthetic_text.written(planted, number) for number in range(DOCUMENTS)]
    tokens, kind, pattern, log_probability = (np.stack(field) for field in zip(*pages, strict=True))
    generator = np.random.default_rng([seed, kept])
    due = np.isin(kind, DUE)
    freed = due & (pattern >= kept)
    tokens = tokens.copy()
    tokens[freed] = generator.choice(planted.plain, freed.sum(), p=planted.plain_shares)
    if shuffled:
        tokens = generator.permuted(tokens, axis=1)
    rows = np.concatenate([np.zeros((DOCUMENTS, 1), dtype=np.int64), tokens], 1)
    return Text(torch.as_tensor(rows), torch.as_tensor(due & ~freed), torch.as_tensor(log_probability))


def train(data: Text, seed: int, device: torch.device) -> Model:
    """A two-layer attention-only model of these rows, held-out ones apart."""
    model = models.moved(models.new({**SIZES, "attn_only": True, "normalization_type": "LN", "seed": seed}), device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.1)
    generator = torch.Generator().manual_seed(seed)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1.0, (step + 1) / 50, 4 * (1 - step / STEPS))
        rows = data.tokens[torch.randint(DOCUMENTS - HELD_OUT, (BATCH,), generator=generator)].to(device)
        optimizer.zero_grad()
        token_losses(model, rows).mean().backward()
        optimizer.step()
    return model


def token_losses(model: Model, rows: Int64[Tensor, "row pos"]) -> Float[Tensor, "row predicted"]:
    """Of each token after the first, in nats."""
    logits = model(rows)[:, :-1]
    return cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")


@torch.no_grad()
def missed(model: Model, data: Text, device: torch.device) -> float | None:
    """The loss over the language's entropy where targets are due, on held-out text, in nats; None without patterns."""
    held = slice(DOCUMENTS - HELD_OUT, None)
    due = data.due[held]
    over = token_losses(model, data.tokens[held].to(device)).double().cpu() + data.log_probability[held]
    return round(float(over[due].mean()), 4) if due.any() else None
