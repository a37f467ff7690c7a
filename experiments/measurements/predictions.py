"""How much of the training text's statistics a checkpoint has learned: common n-grams, and bigrams."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from scipy import sparse
from torch import Tensor

from ablations import forward
from ablations.effects import clustered
from circuits import ngrams
from experiments import corpora
from experiments.measurements import inputs as bench
from experiments.measurements.inputs import Bench
from experiments.measurements.plan import Plan

LENGTHS = (2, 3, 4)  # of n-grams
COUNTED_TOKENS = 1_000_000  # of the train split
BIGRAM_ROWS = 16  # of held-out text, on which whole distributions are compared


def measure_predictions(on: Bench, step: int) -> xr.Dataset:
    """ngram_score [n], bigram_cross_entropy and bigram_entropy (nats), each with its _se, by document."""
    model = bench.model(on.run.folder, step)
    weights, cfg, bos = forward.weights_of(model), model.cfg, corpora.bos(on.run.tokenizer)
    tokens, documents = on.text.tokens, on.text_documents[:, 1:]
    losses: list[Tensor] = []
    bigrams, of_bigrams = _bigrams(on.run.folder, on.plan), []
    after = tokens[:BIGRAM_ROWS, :-1].numpy()
    known = (after != bos) & (np.diff(bigrams.indptr)[after] > 0)
    with torch.no_grad():
        for number in torch.arange(len(tokens)).split(forward.rows_at_once(cfg, tokens.shape[1], BIGRAM_ROWS)):
            rows = tokens[number]
            final = forward.run_layers(weights, cfg, forward.embed(weights, cfg, rows), 0, cfg.n_layers)
            losses.append(forward.token_losses(weights, cfg, final, rows))
            first = number[number < BIGRAM_ROWS]
            predicted = forward.unembed(weights, cfg, final[: len(first), :-1]).log_softmax(-1)
            chosen = known[first]
            of_bigrams.append(ngrams.bigram_losses(predicted[torch.from_numpy(chosen)], after[first][chosen], bigrams))
    table = _common(on.run.folder, on.plan)
    by_token = torch.cat(losses).double().numpy()
    found = []
    for n in LENGTHS:
        at = ngrams.ends(tokens.numpy(), table[n], n, bos, cfg.d_vocab)
        found.append(ngrams.score(by_token, at, documents))
    data: dict = {"ngram_score": ("n", [e.value for e in found]), "ngram_score_se": ("n", [e.se for e in found])}
    for name in of_bigrams[0]:
        estimate = clustered(np.concatenate([part[name] for part in of_bigrams]), documents[:BIGRAM_ROWS][known])
        data |= {f"bigram_{name}": ((), estimate.value), f"bigram_{name}_se": ((), estimate.se)}
    return xr.Dataset(data, {"n": list(LENGTHS)})


@lru_cache(maxsize=2)
def _common(folder: Path, plan: Plan) -> dict[int, np.ndarray]:
    on = bench.bench(folder, plan)
    vocabulary, bos = on.run.config["model"]["d_vocab"], corpora.bos(on.run.tokenizer)
    return {n: ngrams.common(_counted(on), n, bos, vocabulary) for n in LENGTHS}


@lru_cache(maxsize=2)
def _bigrams(folder: Path, plan: Plan) -> sparse.csr_array:
    on = bench.bench(folder, plan)
    return ngrams.bigrams(_counted(on), corpora.bos(on.run.tokenizer), on.run.config["model"]["d_vocab"])


def _counted(on: Bench) -> np.ndarray:
    rows = slice(0, max(1, COUNTED_TOKENS // on.run.config["model"]["n_ctx"]))
    return on.train.batch(rows).numpy()
