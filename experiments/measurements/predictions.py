"""How much of the training text's statistics a checkpoint has learned: common n-grams, and bigrams."""

import numpy as np
import torch
import xarray as xr
from scipy import sparse
from torch import Tensor

from ablations import forward
from ablations.effects import clustered
from circuits import ngrams
from experiments import corpora
from experiments.measurements.labels import with_errors
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind
from experiments.storage.recent import Recent

LENGTHS = (2, 3, 4)  # of n-grams
COUNTED_TOKENS = 1_000_000  # of the train split
BIGRAM_ROWS = 16  # of held-out text, on which whole distributions are compared
_COMMON: Recent[dict[int, np.ndarray]] = Recent(2)
_BIGRAMS: Recent[sparse.csr_array] = Recent(2)


def measure(inputs: Inputs, step: int, cells: Cells) -> xr.Dataset:
    """ngram_score [n], bigram_cross_entropy and bigram_entropy (nats), with their _se and _degrees, by document."""
    model = inputs.model(step)
    weights, cfg, bos = forward.weights_of(model), model.cfg, corpora.bos(inputs.run.tokenizer)
    tokens, documents = inputs.text.tokens, inputs.text_documents[:, 1:]
    losses: list[Tensor] = []
    bigrams, of_bigrams = _bigrams(inputs), []
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
    by_token = torch.cat(losses).double().numpy()
    common, estimates = _common(inputs), []
    for n in LENGTHS:
        ends = ngrams.ends(tokens.numpy(), common[n], n, bos, cfg.d_vocab)
        estimates.append(ngrams.score(by_token, ends, documents))
    data = with_errors("ngram_score", ("n",), estimates)
    for name in of_bigrams[0]:
        estimate = clustered(np.concatenate([part[name] for part in of_bigrams]), documents[:BIGRAM_ROWS][known])
        data |= with_errors(f"bigram_{name}", (), [estimate])
    return xr.Dataset(data, {"n": list(LENGTHS)})


def _common(inputs: Inputs) -> dict[int, np.ndarray]:
    """The common n-grams of the training text, by their length."""

    def count() -> dict[int, np.ndarray]:
        tokens, bos = _counted_tokens(inputs), corpora.bos(inputs.run.tokenizer)
        return {n: ngrams.common(tokens, n, bos, inputs.d_vocab) for n in LENGTHS}

    return _COMMON.get((inputs.train.fingerprint, inputs.d_vocab), count)


def _bigrams(inputs: Inputs) -> sparse.csr_array:
    """How often each token follows each other in the training text."""

    def count() -> sparse.csr_array:
        return ngrams.bigrams(_counted_tokens(inputs), corpora.bos(inputs.run.tokenizer), inputs.d_vocab)

    return _BIGRAMS.get((inputs.train.fingerprint, inputs.d_vocab), count)


def _counted_tokens(inputs: Inputs) -> np.ndarray:
    """The first rows of the training text, about a million tokens."""
    return inputs.train.batch(slice(0, max(1, COUNTED_TOKENS // inputs.n_ctx))).numpy()


PREDICTIONS = Kind(
    "predictions",
    (7,),
    measure,
    splits=("train", "test"),
    plan_fields=("text_rows",),
    seconds=pass_time.Passes(120),
    keeps=whole,
)
