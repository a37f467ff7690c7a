"""What a run is measured on: held-out text, repeated sequences, reference rows, and the rows rLLCs are sampled on."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from transformer_lens import HookedTransformer

from circuits import scores
from experiments import runs
from experiments.corpora.corpus import Corpus
from experiments.jobs import device
from experiments.measurements.plan import Plan
from llc import losses


class Sequences(NamedTuple):
    """Rows of tokens and, for each, the document it comes from."""

    tokens: Int64[Tensor, "row pos"]
    clusters: np.ndarray


@dataclass(frozen=True)
class Bench:
    """A run and the texts it is measured on. Rows come from the held-out split, in disjoint groups."""

    run: runs.Run
    plan: Plan

    @cached_property
    def corpus(self) -> Corpus:
        return self.run.corpus("test", self.plan.corpus)

    @cached_property
    def train(self) -> Corpus:
        return self.run.corpus("train", self.plan.corpus)

    @cached_property
    def text(self) -> Sequences:
        """Whole rows of held-out text."""
        rows = self.corpus.take(self.plan.text_rows)
        return Sequences(rows.batch(slice(None)), np.asarray(rows.documents[:, 1]))

    @cached_property
    def reference(self) -> Int64[Tensor, "row pos"]:
        """Other rows of it."""
        self.corpus.take(self._reference_rows.stop)
        return self.corpus.batch(self._reference_rows)

    @property
    def text_documents(self) -> np.ndarray:
        """Which document each token of `text` is of."""
        return np.asarray(self.corpus.documents[: self.plan.text_rows])

    @property
    def reference_documents(self) -> np.ndarray:
        """Which document each token of `reference` is of."""
        return np.asarray(self.corpus.documents[self._reference_rows])

    @property
    def _reference_rows(self) -> slice:
        return slice(self.plan.text_rows, self.plan.text_rows + self.plan.reference_rows)

    @cached_property
    def sampled(self) -> Int64[Tensor, "row pos"]:
        """The rows that rLLC minibatches are drawn from: the train split."""
        return self.train.batch(slice(0, min(len(self.train), self.plan.sampled_rows)))

    def reference_run(self) -> runs.Run:
        """The run's one-layer reference, else another seed's: the preset's first, beside the run or in the zoo.

        Raises ValueError when there is none, or it has another vocabulary.
        """
        own = self.run.folder.with_name(f"{self.run.name}-1layer")
        shared = f"{self.run.config['preset']['name']}-seed0-1layer"
        places = (own, own.with_name(shared), runs.ZOO / shared)
        place = next((place for place in places if place.exists() and place != self.run.folder), None)
        if place is None:
            raise ValueError(f"run {self.run.name} has no one-layer reference: train or adopt one as {own}")
        found = runs.open_run(place)
        if found.tokenizer.to_str() != self.run.tokenizer.to_str():
            raise ValueError(f"{found.name} has another tokenizer than {self.run.name}: train it again beside it")
        return found

    def reference_step(self, step: int) -> int:
        """The reference's checkpoint that the plan asks for."""
        found = self.reference_run()
        wanted = found.steps[-1] if self.plan.reference == "last" else step
        found.check_step(wanted)
        return wanted

    def sampling_loss(self, step: int) -> losses.Loss:
        """What rLLC chains at this step sample with."""
        if not self.plan.reference:
            return losses.next_token()
        wanted = self.reference_step(step)
        return losses.kl_to(sampled_model(self.reference_run().folder, wanted), f"one layer, step {wanted}")

    def repeated(self, text: str, count: int) -> Sequences:
        """Sequences that are one copy after another, without BOS; text: "random" or "text"."""
        rows = self.random(count, self.plan.period) if text == "random" else self._segments(count)
        return Sequences(scores.repeated(rows.tokens), rows.clusters)

    def matching(self, count: int) -> Sequences:
        """Random tokens, four copies, as prefix matching is measured."""
        rows = self.random(count, self.plan.matching_period)
        return Sequences(scores.repeated(rows.tokens, 4), rows.clusters)

    def random(self, count: int, period: int) -> Sequences:
        """Random tokens, distinct within a row, from the middle half of the held-out text's unigram distribution."""
        counts = np.bincount(np.asarray(self.corpus.tokens).ravel(), minlength=self.run.config["model"]["d_vocab"])
        return Sequences(scores.random_rows(counts, count, period, self.plan.seed), np.arange(count))

    def _segments(self, count: int) -> Sequences:
        """The first tokens after BOS of rows after the reference, each of another document."""
        start = self.plan.text_rows + self.plan.reference_rows
        documents = np.asarray(self.corpus.documents[start:, 1])
        _, first = np.unique(documents, return_index=True)
        rows = np.sort(first)[:count] + start
        if len(rows) < count:
            raise ValueError(
                f"corpus {self.plan.corpus!r} has {len(rows)} held-out documents left, "
                f"{count} are needed: use more text"
            )
        return Sequences(self.corpus.batch(rows)[:, 1 : self.plan.period + 1], documents[rows - start])


@lru_cache(maxsize=2)
def bench(folder: Path, plan: Plan) -> Bench:
    """Shared by all measurements of a process."""
    return Bench(runs.open_run(folder), plan)


@lru_cache(maxsize=4)
def model(folder: Path, step: int) -> HookedTransformer:
    return runs.open_run(folder).model(step)


def sampled_model(folder: Path, step: int) -> HookedTransformer:
    """The same on the device that this process samples on."""
    own = device.own()
    return model(folder, step) if own.type == "cpu" else _moved(folder, step, own)


@lru_cache(maxsize=2)
def _moved(folder: Path, step: int, own: torch.device) -> HookedTransformer:
    moved = runs.open_run(folder).model(step)
    moved.to(own, print_details=False)
    return moved
