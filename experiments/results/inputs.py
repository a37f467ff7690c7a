"""What a run is measured on: held-out text, repeated sequences, reference rows, and the rows rLLCs are sampled on."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from ablations.models import Model
from ablations.not_measurable import NotMeasurable
from circuits import scores
from experiments.corpora.corpus import Corpus
from experiments.jobs import device
from experiments.results.plan import Plan
from experiments.runs.models import model_at, model_on
from experiments.runs.run import Run


class Sequences(NamedTuple):
    """Rows of tokens and, for each, the document it comes from."""

    tokens: Int64[Tensor, "row pos"]
    clusters: np.ndarray


@dataclass(frozen=True)
class Inputs:
    """A run and the texts it is measured on. Rows come from the held-out split, in disjoint groups."""

    run: Run
    plan: Plan

    def split(self, name: str) -> Corpus:
        """The text by its split, "train" or "test"."""
        return self.train if name == "train" else self.corpus

    @cached_property
    def corpus(self) -> Corpus:
        """The held-out split."""
        return self.run.corpus("test", self.plan.corpus)

    @cached_property
    def train(self) -> Corpus:
        """The split that the run was trained on, where the corpus is its own."""
        return self.run.corpus("train", self.plan.corpus)

    @cached_property
    def text(self) -> Sequences:
        """Whole rows of held-out text, for losses and attention scores."""
        rows = self.corpus.take(self.plan.text_rows)
        return Sequences(rows.batch(slice(None)), np.asarray(rows.documents[:, 1]))

    @cached_property
    def reference(self) -> Int64[Tensor, "row pos"]:
        """Other rows of held-out text: means are taken over them, and resampled values are drawn from them."""
        self.corpus.take(self._reference_rows.stop)
        return self.corpus.batch(self._reference_rows)

    @property
    def text_documents(self) -> np.ndarray:
        """Which document each token of `text` is of [row, pos]."""
        return np.asarray(self.corpus.documents[: self.plan.text_rows])

    @property
    def reference_documents(self) -> np.ndarray:
        """Which document each token of `reference` is of [row, pos]."""
        return np.asarray(self.corpus.documents[self._reference_rows])

    @property
    def _reference_rows(self) -> slice:
        return slice(self.plan.text_rows, self.first_free_row)

    @property
    def first_free_row(self) -> int:
        """The row of the held-out split at which `free_text` begins."""
        return self.plan.text_rows + self.plan.reference_rows

    @cached_property
    def free_text(self) -> Corpus:
        """Held-out text after `text` and `reference`, on which passes over text, prompts and token kinds rest."""
        return self.corpus.part(slice(self.first_free_row, None))

    @property
    def free_tokens(self) -> int:
        """Tokens of `free_text`, the BOS at the start of rows apart; raises NotMeasurable where there are none."""
        count = len(self.free_text) * (self.n_ctx - 1)
        if count == 0:
            raise NotMeasurable(f"the held-out text {self.plan.corpus!r} is used up by means and donors: use more text")
        return count

    def free_rows(self, tokens: int) -> Corpus:
        """The first rows of `free_text` that hold at least so many tokens."""
        return self.free_text.part(slice(0, -(-tokens // (self.n_ctx - 1))))

    @property
    def n_ctx(self) -> int:
        """The model's context, in tokens."""
        return self.run.config["model"]["n_ctx"]

    @property
    def d_vocab(self) -> int:
        """Tokens of the model's vocabulary."""
        return self.run.config["model"]["d_vocab"]

    @cached_property
    def sampled(self) -> Int64[Tensor, "row pos"]:
        """The rows that rLLC minibatches are drawn from: the first ones of the train split."""
        return self.train.batch(slice(0, min(len(self.train), self.plan.sampled_rows)))

    def model(self, step: int) -> Model:
        """The run's model at a checkpoint, on the CPU."""
        return model_at(self.run, step)

    def model_here(self, step: int) -> Model:
        """The same on the device that this process has to itself (`jobs.device`)."""
        return model_on(self.run, step, device.own())

    def repeated(self, text: str, count: int) -> Sequences:
        """Sequences of one copy after another, without BOS; text: "random" tokens, or held-out "text"."""
        rows = self.random(count, self.plan.period) if text == "random" else self._segments(count)
        return Sequences(scores.repeated(rows.tokens), rows.clusters)

    def matching(self, count: int) -> Sequences:
        """Sequences of random tokens in four copies, as prefix matching is measured."""
        rows = self.random(count, self.plan.matching_period)
        return Sequences(scores.repeated(rows.tokens, 4), rows.clusters)

    def random(self, count: int, period: int) -> Sequences:
        """Random tokens, distinct within a row, from the middle half of the held-out text's unigram distribution."""
        counts = np.bincount(np.asarray(self.corpus.tokens).ravel(), minlength=self.d_vocab)
        return Sequences(scores.random_rows(counts, count, period, self.plan.seed), np.arange(count))

    def _segments(self, count: int) -> Sequences:
        """The first tokens after BOS of rows of `free_text`, each of another document."""
        start = self.first_free_row
        documents = np.asarray(self.corpus.documents[start:, 1])
        _, first = np.unique(documents, return_index=True)
        rows = np.sort(first)[:count] + start
        if len(rows) < count:
            raise NotMeasurable(
                f"corpus {self.plan.corpus!r} has {len(rows)} held-out documents left, "
                f"{count} are needed: use more text"
            )
        return Sequences(self.corpus.batch(rows)[:, 1 : self.plan.period + 1], documents[rows - start])
