"""Do the training rows with the largest influence on the copy gain make the induction circuit?

    python benchmarks/influence.py

takes twenty minutes on two cores, needs no results, and writes benchmarks/results/influence.json. A model of the tiny
preset's size is trained on 896 rows until it copies: two fifths of them hold 16 random tokens four times over, the
others text (on text alone that size learns no induction). At the checkpoint at which half of its final copy gain is
there, chains of all its weights give the posterior correlation of each row's loss with the gain: the loss of held-out
rows of random tokens less that of held-out rows that repeat. Then it is trained again from the same start and in the
same order of rows, with 5% of the rows replaced by text: those whose influence on the gain is the largest; as many
drawn from all rows; as many drawn from the rows that repeat. What is told is the copy gain, mean over training, less
that of the first training: rows that the circuit forms by should be missed. Ten seeds; p is that of the exact
sign-flip test of paired differences, one-sided.
"""

import itertools
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from tqdm import tqdm

from ablations import forward
from circuits import scores
from experiments import corpora
from experiments.corpora.tokenizer import new_tokenizer
from experiments.runs import presets
from experiments.statistics.intervals import reach
from experiments.storage.files import write_json
from llc import Probes, Settings, influence, leimkuhler_matthews, sample

OUT = Path(__file__).parent / "results" / "influence.json"
SEEDS, ROWS, HELD_OUT, REPEATS, PERIOD = 10, 896, 64, 0.4, 16
STEPS, EVERY, REPLACED = 3000, 100, 0.05
PRESET = replace(presets.get("tiny"), steps=STEPS, decay_share=0.0)
SETTINGS = Settings(
    "INFLUENCE", lr=1e-3, nbeta=100.0, localization=200.0, batch_size=16, num_chains=8, num_draws=130, num_burnin=30
)
WAYS = ("largest influence", "drawn from all rows", "drawn from rows that repeat")


class Data(NamedTuple):
    """Rows to train on, which of them repeat, text to replace them by, and held-out rows of both kinds."""

    rows: Tensor
    repeats: np.ndarray
    spare: Tensor
    copies: Tensor
    random: Tensor


def data(seed: int) -> Data:
    """Of each seed others; random tokens have the text's frequencies, but for the rarest and the most common."""
    tokenizer = new_tokenizer(PRESET.tokenizer, PRESET.corpus, PRESET.d_vocab)
    text = corpora.load(PRESET.corpus, tokenizer=tokenizer, n_ctx=PRESET.n_ctx, split="train")
    counts = np.bincount(np.asarray(text.tokens).ravel(), minlength=PRESET.d_vocab)
    chosen = np.random.default_rng([seed, 1]).permutation(len(text))[: 2 * ROWS]
    copies = scores.repeated(scores.random_rows(counts, ROWS + HELD_OUT, PERIOD, seed), PRESET.n_ctx // PERIOD)
    repeats = np.random.default_rng([seed, 2]).random(ROWS) < REPEATS
    rows = torch.where(torch.from_numpy(repeats)[:, None], copies[:ROWS], text.batch(chosen[:ROWS]))
    random = scores.random_rows(counts, HELD_OUT, PRESET.n_ctx, seed + SEEDS)
    return Data(rows, repeats, text.batch(chosen[ROWS:]), copies[ROWS:], random)


def losses(model: torch.nn.Module, rows: Tensor) -> Tensor:
    """Of every predicted token [row, predicted]."""
    weights = dict(model.named_parameters())
    residual = forward.embed(weights, model.cfg, rows)
    residual = forward.run_layers(weights, model.cfg, residual, 0, model.cfg.n_layers)
    return forward.token_losses(weights, model.cfg, residual, rows)


def gain(model: torch.nn.Module, held_out: Data) -> float:
    """How much less rows that repeat cost than rows of random tokens, in nats per token."""
    with torch.no_grad():
        return float(losses(model, held_out.random).mean() - losses(model, held_out.copies).mean())


def trained(seed: int, rows: Tensor, held_out: Data) -> tuple[list[float], list[dict]]:
    """The gain, and the weights, every so many steps; start and order of rows depend on the seed alone."""
    model = presets.build(PRESET, seed, 2)
    optimizer = torch.optim.AdamW(model.parameters(), PRESET.lr, PRESET.betas, weight_decay=PRESET.weight_decay)
    gains, weights = [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = PRESET.learning_rate(step)
        chosen = np.random.default_rng([seed, step]).integers(len(rows), size=PRESET.batch_size)
        optimizer.zero_grad()
        losses(model, rows[chosen]).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), PRESET.max_grad_norm)
        optimizer.step()
        if (step + 1) % EVERY == 0:
            gains.append(gain(model, held_out))
            weights.append({name: value.clone() for name, value in model.state_dict().items()})
    return gains, weights


def measured(seed: int) -> dict:
    """All trainings of a seed."""
    torch.set_num_threads(1)
    given = data(seed)
    gains, weights = trained(seed, given.rows, given)
    half = int(np.argmax(np.array(gains) >= gains[-1] / 2))
    model = presets.build(PRESET, seed, 2)
    model.load_state_dict(weights[half])
    text = torch.cat([given.rows, given.random, given.copies])
    of_gain = torch.cat(
        [torch.zeros(ROWS), torch.full((HELD_OUT,), 1 / HELD_OUT), torch.full((HELD_OUT,), -1 / HELD_OUT)]
    )
    how = {"settings": SETTINGS, "kernel": leimkuhler_matthews, "probes": Probes(text, 4)}
    trace = sample(model, given.rows, "full", seed=seed, **how)["full"]
    # positive influence: more of the row, more gain; so the loss of the row falls where the gain rises
    correlation = influence.correlation_with(trace, of_gain)
    of_rows = correlation.value.values[:ROWS]
    halves = [
        influence.correlation_with(trace.isel(chain=part), of_gain).value.values[:ROWS]
        for part in (slice(0, 4), slice(4, 8))
    ]
    count, draw = round(REPLACED * ROWS), np.random.default_rng([seed, 3])
    chosen = np.argsort(of_rows), draw.permutation(ROWS), draw.permutation(np.flatnonzero(given.repeats))
    replaced = {way: which[:count] for way, which in zip(WAYS, chosen, strict=True)}
    found: dict = {
        "seed": seed,
        "gain": gains,
        "half-rise at step": (half + 1) * EVERY,
        "halves": float(stats.spearmanr(*halves).statistic),
        "interval leaves out 0": float((abs(of_rows) > correlation.half_width.values[:ROWS]).mean()),
    }
    for way, which in replaced.items():
        rows = given.rows.clone()
        rows[which] = given.spare[:count]
        again, _ = trained(seed, rows, given)
        found[way] = {
            "rows that repeat": float(given.repeats[which].mean()),
            "change of the gain": float(np.mean(again) - np.mean(gains)),
            "gain": again,
        }
    return found


def compared(rows: list[dict], other: str) -> dict:
    """The change of the gain without the rows of the largest influence, less that without others."""
    differences = np.array([row[WAYS[0]]["change of the gain"] - row[other]["change of the gain"] for row in rows])
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    at_most = (signs @ differences <= differences.sum() + 1e-12).mean()
    half = float(reach(len(rows) - 1) * differences.std(ddof=1) / len(rows) ** 0.5)
    mean = float(differences.mean())
    return {
        "against": other,
        "difference": mean,
        "interval": [mean - half, mean + half],
        "p": float(at_most),
    }


def main() -> None:
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as executor:
        rows = list(tqdm(executor.map(measured, range(SEEDS)), total=SEEDS))
    record = {
        "name": "influence",
        "command": "python benchmarks/influence.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "unit": "nats per token, mean over training",
        "comparisons": [compared(rows, other) for other in WAYS[1:]],
        "rows": rows,
    }
    write_json(OUT, record)
    print(record["comparisons"])


if __name__ == "__main__":
    main()
