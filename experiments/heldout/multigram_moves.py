"""What each layer comes to do for each multigram of the early snapshot, on two halves of the documents.

What a layer does for a multigram is the sum over its heads of the mean effect of removing the head, on the multigram's
completions; the same completions count at both snapshots. Kept is what tests and pictures need, so that neither weights
nor the effects on single tokens are needed again.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from ablations.names import parse_head
from circuits import multigrams
from experiments.heldout import ablation_pass, head_types, learned_multigrams
from experiments.heldout.ablation_pass import PASS
from experiments.heldout.model_multigrams import MODEL_MULTIGRAMS
from experiments.heldout.overlap_changes import early_snapshot
from experiments.heldout.text_multigrams import as_patterns, describe, sizes
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, last_checkpoint
from experiments.statistics.halves import balanced_half
from experiments.statistics.moves import Changes, clearest

SHOWN = 3  # moves that are kept in full


class Moving(NamedTuple):
    """Completions of one run's multigrams, with the effect of removing each head at both snapshots."""

    heads: list[str]
    effect: Float[np.ndarray, "snapshot head hit"]  # early, late; nats
    number: Int[np.ndarray, " hit"]  # of the multigram
    document: Int[np.ndarray, " hit"]
    half: Bool[np.ndarray, " hit"]  # which half of the documents
    target: Int[np.ndarray, " multigram"]
    texts: list[str]  # each multigram as text
    tokens: int  # of held-out text

    @property
    def layer(self) -> Int[np.ndarray, " head"]:
        """The layer of each head."""
        return np.array([parse_head(name)[0] for name in self.heads])


def table(cells: Cells) -> xr.Dataset:
    """What `measure` says, of the pass that types rest on."""
    return cells.get(MULTIGRAM_MOVES, cells.run.steps[-1], **parameters(cells))


def parameters(cells: Cells) -> dict:
    """The pass at the last checkpoint; raises NotMeasurable where no text is left for it."""
    return {"ablation": head_types.pass_of_types(cells, cells.run.steps[-1]).record()}


def measure(inputs: Inputs, step: int, cells: Cells, ablation: Parameters) -> xr.Dataset:
    """Of the multigrams of the early snapshot (`middle_step`) that have 20 completions on each half of the documents,
    between it and this checkpoint: change, change_se [half, layer, multigram] and degrees [half, multigram], as
    `Changes` has them; target, text [multigram].

    Of the clearest moves from layer 0 to 1: number (of the multigram), completions, documents [shown], effect,
    effect_se [shown, snapshot, row] by head and then by layer, effect_degrees [shown]. attrs: known, the number of
    multigrams at the early snapshot; tokens of the text.
    """
    return of_moving(moving_of(cells, step, ablation))


def moving_of(cells: Cells, step: int, ablation: Parameters) -> Moving:
    """What the multigrams that the model has at the early snapshot rest on, then and at this checkpoint."""
    then, now = (ablation_pass.of_record(ablation, each) for each in (middle_step(cells.run), step))
    found, early, numbers, tokens = learned_multigrams.completions(cells, then)
    known, late = as_patterns(found), ablation_pass.kept(cells, now)
    effect = np.stack([kept.effect.values[:, tokens].astype(np.float64) for kept in (early, late)])
    document, half = early.document.values[tokens], balanced_half(early.document.values)[tokens]
    texts = [describe(known, number, cells.inputs) for number in range(len(known.targets))]
    count = early.sizes["token"]
    return Moving(early.change.values.tolist(), effect, numbers, document, half, known.targets, texts, count)


def of_moving(moving: Moving) -> xr.Dataset:
    """The dataset of `measure`, in 32 bits."""
    every = changes(moving)
    kept = np.flatnonzero(every.testable)
    value, se = (part[:, :, kept].astype(np.float32) for part in (every.value, every.se))
    degrees = np.asarray(every.degrees)[:, 0, kept].astype(np.float32)
    target = np.asarray(moving.target, dtype=np.int64)[kept]
    shown = clearest(Changes(value, se, degrees[:, None]), target)[:SHOWN]
    data: dict = {
        "change": (("half", "layer", "multigram"), value),
        "change_se": (("half", "layer", "multigram"), se),
        "degrees": (("half", "multigram"), degrees),
        "target": ("multigram", target),
        "text": ("multigram", np.array([moving.texts[number] for number in kept], dtype=str)),
    } | _in_full(moving, kept[shown])
    data["number"] = ("shown", np.array(shown, dtype=np.int64))
    coords = {"row": [*moving.heads, "layer 0", "layer 1"]}
    return xr.Dataset(data, coords, {"known": len(moving.target), "tokens": moving.tokens})


def moves(found: xr.Dataset) -> Changes:
    """The changes in the dataset of `measure`."""
    return Changes(found.change.values, found.change_se.values, found.degrees.values[:, None])


def changes(moving: Moving) -> Changes:
    """The changes on each half of the documents, of all multigrams; less each layer's mean, which is no move."""
    value, se, degrees = np.full((3, 2, 2, len(moving.target)), np.nan)
    rows = np.stack([(moving.effect[1] - moving.effect[0])[moving.layer == layer].sum(0) for layer in (0, 1)])
    for half in (0, 1):
        inside = moving.half == bool(half)
        number, document = moving.number[inside], moving.document[inside]
        value[half], se[half], _ = multigrams.learned(rows[:, inside], number, document, len(moving.target))
        degrees[half] = multigrams.degrees(number, document, len(moving.target))
    both = np.isfinite(se).all((0, 1))
    return Changes(value - (value[:, :, both].mean(2, keepdims=True) if both.any() else 0.0), se, degrees)


def effects_by_head(
    moving: Moving, number: int
) -> tuple[Float[np.ndarray, "snapshot row"], Float[np.ndarray, "snapshot row"], float]:
    """Mean effects on one multigram, their errors, by head and then by layer, on all documents, and the errors' degrees
    of freedom.
    """
    inside = moving.number == number
    nothing = np.zeros(inside.sum(), dtype=np.int64)
    mean, se = np.empty((2, 2, len(moving.heads) + 2))
    for time in (0, 1):
        effect = moving.effect[time][:, inside]
        rows = np.concatenate([effect, *(effect[moving.layer == layer].sum(0, keepdims=True) for layer in (0, 1))])
        effects, error, _ = multigrams.learned(rows, nothing, moving.document[inside], 1)
        mean[time], se[time] = effects[:, 0], error[:, 0]
    return mean, se, float(multigrams.degrees(nothing, moving.document[inside], 1)[0])


def _in_full(moving: Moving, shown: Int[np.ndarray, " shown"]) -> dict:
    """What heads and layers do for some multigrams, early and late."""
    parts = [effects_by_head(moving, number) for number in shown]
    full = np.array([part[:2] for part in parts]).reshape(len(shown), 2, 2, len(moving.heads) + 2)  # mean, error second
    hits = [moving.document[moving.number == number] for number in shown]
    return {
        "effect": (("shown", "snapshot", "row"), full[:, 0].astype(np.float32)),
        "effect_se": (("shown", "snapshot", "row"), full[:, 1].astype(np.float32)),
        "effect_degrees": ("shown", np.array([part[2] for part in parts], dtype=np.float32)),
        "completions": ("shown", np.array([len(documents) for documents in hits], dtype=np.int64)),
        "documents": ("shown", np.array([len(np.unique(documents)) for documents in hits], dtype=np.int64)),
    }


def key_parts(inputs: Inputs, step: int | None) -> dict:
    """The early snapshot, and how much text is mined and tested for multigrams."""
    return early_snapshot(inputs, step) | sizes(inputs, step)


MULTIGRAM_MOVES = Kind(
    "multigram_moves",
    (1, *MODEL_MULTIGRAMS.version, *PASS.version),
    measure,
    splits=("train", "test"),
    steps=last_checkpoint,
    plan_fields=MODEL_MULTIGRAMS.plan_fields,
    seconds=20.0,
    also=key_parts,
    keeps=whole,
)
