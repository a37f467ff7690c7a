"""Prompts of the task "skipgram": windows of held-out text that end in the context of a skip trigram of the text.

Skip trigrams are mined (`text_multigrams`): a, anything, b -> c, where c follows at least twice as often as after
the best of a and b alone, and at least in one place of ten. What stands between a and b varies: no filling of the gap
has more than half of the places, or it would be an n-gram. In the text the rest of the context often tells c as well;
so a and b are put into windows of other places, and nothing else speaks for c. Few of these trigrams are in the model:
those are taken with which the run's last checkpoint gives c at least a nat more than with a or b alone, in windows that
no prompt has. Corrupted: another trigram's a in place of a. The wrong answer is what follows b most often otherwise.
"""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int

from ablations import forward
from ablations.not_measurable import NotMeasurable
from circuits import context_gain, mining, tasks
from circuits.multigrams import Patterns, Text
from circuits.tasks import Task
from experiments import corpora
from experiments.heldout import labelled_tokens, model_multigrams
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS, as_patterns
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs

ROWS = 2000  # of held-out text, in which trigrams are looked at and windows are found
LENGTH = 64  # of a prompt at most, with its BOS
OFTENER, OFTEN = 2.0, 0.1  # than the best sub-pattern; rate of the target
FILLED = 0.5  # of the places, at most, have one filling of the gap
PLACES = 4  # in the text, at least
LEARNED = 1.0  # nats that the context gives beyond the best of its parts
EACH = 8  # prompts of a trigram, at most
FEWEST = 16


def task(cells: Cells, prompts: int) -> Task:
    """So many prompts, or `EACH` of every trigram where these are fewer.

    Raises NotMeasurable for fewer than `FEWEST`.
    """
    inputs = cells.inputs
    length, generator = min(LENGTH, inputs.n_ctx), np.random.default_rng(inputs.plan.seed)
    rows = inputs.free_text.part(slice(0, ROWS))
    text, mined = labelled_tokens.text(rows), cells.get(TEXT_MULTIGRAMS)
    trigrams = _learned(inputs, _varied(text, _trigrams(mined), inputs.d_vocab))
    trigrams = trigrams.take(np.flatnonzero(trigrams.offsets[:, 1] < length))
    order = np.tile(generator.permutation(len(trigrams.targets)), EACH)
    trigrams = trigrams.take(order[: min(prompts, len(rows))])
    count = len(trigrams.targets)
    if count < FEWEST:
        raise NotMeasurable(f"corpus {rows.name!r} gives {count} skip trigrams, {FEWEST} are needed: use more text")
    windows = rows.batch(generator.permutation(len(rows))[:count])[:, :length].numpy().copy()
    windows[:, 0] = corpora.bos(rows.tokenizer)
    places, far = length - trigrams.offsets[:, 1], trigrams.tokens[:, 1]
    windows[:, -1] = trigrams.tokens[:, 0]
    windows[np.arange(count), places] = far
    arrays = (windows, places, _others(far), trigrams.targets, _wrong(text, trigrams))
    return tasks.replaced("skipgram", *(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def _trigrams(mined: xr.Dataset) -> Patterns:
    every = as_patterns(mined)
    near = (every.sizes == 2) & (every.offsets[:, 0] == 1) & ~every.contiguous
    strong = (mined.rate.values >= OFTENER * mined.best.values) & (mined.rate.values >= OFTEN)
    return every.take(np.flatnonzero(near & strong))


def _varied(text: Text, trigrams: Patterns, vocabulary: int) -> Patterns:
    """Those whose gap varies, and the first of those with the same near token and target."""
    numbers, places = mining.completions(text, trigrams, vocabulary)
    flat = text.tokens.ravel()
    kept: dict[tuple[int, int], int] = {}
    for number in np.unique(numbers).tolist():
        own = places[numbers == number]
        gap = flat[own[:, None] - np.arange(2, trigrams.offsets[number, 1])]
        commonest = int(np.unique(gap, axis=0, return_counts=True)[1].max())
        if len(own) >= PLACES and commonest <= FILLED * len(own):
            said = int(trigrams.tokens[number, 0]), int(trigrams.targets[number])
            kept.setdefault(said, number)
    return trigrams.take(np.array(list(kept.values()), dtype=np.int64))


def _learned(inputs: Inputs, trigrams: Patterns) -> Patterns:
    """Those that the last checkpoint has learned."""
    model = inputs.model(inputs.run.steps[-1])
    arguments = forward.weights_of(model), model.cfg, model_multigrams.windows(inputs), trigrams
    whole = context_gain.log_probabilities(*arguments).double().numpy()
    return trigrams.take(np.flatnonzero(whole - context_gain.best_of_parts(*arguments) >= LEARNED))


def _others(far: Int[np.ndarray, " prompt"]) -> Int[np.ndarray, " prompt"]:
    """The far token, for each prompt, of the next prompt that has another."""
    order = np.arange(len(far))
    for _ in far:
        same = far[order] == far
        order[same] = (order[same] + 1) % len(far)
    return far[order]


def _wrong(text: Text, trigrams: Patterns) -> Int[np.ndarray, " prompt"]:
    """What follows each near token most often, the right answer apart."""
    tokens = text.tokens.astype(np.int64)
    before, after = tokens[:, 1:-1][text.counted[:, 2:]], tokens[:, 2:][text.counted[:, 2:]]
    wrong = np.empty(len(trigrams.targets), dtype=np.int64)
    for number, (near, target) in enumerate(zip(trigrams.tokens[:, 0], trigrams.targets, strict=True)):
        follows = after[before == near]
        wrong[number] = np.bincount(follows[follows != target]).argmax()
    return wrong
