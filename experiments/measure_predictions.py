"""How much of the training text's statistics a checkpoint has learned: common n-grams, and bigrams."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from scipy import sparse
from torch import Tensor

from ablations import attention
from ablations.effects import clustered
from circuits import ngrams
from experiments import bench, corpora
from experiments.bench import Bench
from experiments.plan import Plan

LENGTHS = (2, 3, 4)  # of n-grams
COUNTED_TOKENS = 1_000_000  # of the train split
BIGRAM_ROWS = 16  # of held-out text, on which whole distributions are compared


def measure_predictions(on: Bench, step: int) -> xr.Dataset:
    """ngram_score [n], bigram_cross_entropy and bigram_entropy (nats), each with its _se, by document."""
    model = bench.model(on.run.folder, step)
    weights, cfg, bos = attention.weights_of(model), model.cfg, corpora.bos(on.run.tokenizer)
    tokens, documents = on.text.tokens, on.text_documents[:, 1:]
    losses: list[Tensor] = []
    first: list[Tensor] = []
    with torch.no_grad():
        for rows in tokens.split(BIGRAM_ROWS):
            final = attention.run_layers(weights, cfg, attention.embed(weights, cfg, rows), 0, cfg.n_layers)
            losses.append(attention.token_losses(weights, cfg, final, rows))
            first = first or [attention.unembed(weights, cfg, final[:, :-1]).log_softmax(-1)]
    table = _common(on.run.folder, on.plan)
    by_token = torch.cat(losses).double().numpy()
    found = []
    for n in LENGTHS:
        at = ngrams.ends(tokens.numpy(), table[n], n, bos, cfg.d_vocab)
        found.append(ngrams.score(by_token, at, documents))
    after = tokens[:BIGRAM_ROWS, :-1].numpy().ravel()
    bigrams = _bigrams(on.run.folder, on.plan)
    known = (after != bos) & (np.diff(bigrams.indptr)[after] > 0)
    log_probabilities = first[0].flatten(0, 1)[torch.from_numpy(known)]
    bigram = ngrams.bigram_losses(log_probabilities, after[known], bigrams)
    clusters = documents[:BIGRAM_ROWS].ravel()[known]
    data: dict = {"ngram_score": ("n", [e.value for e in found]), "ngram_score_se": ("n", [e.se for e in found])}
    for name, values in bigram.items():
        estimate = clustered(values, clusters)
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
