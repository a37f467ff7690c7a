"""How much each pair of a layer-0 and a layer-1 head comes to affect the same tokens, on two halves of the text.

A head's tokens are the 2% whose loss its removal raises most; `overlap_change` says how two heads' lists are compared.
Kept is what tests need, so that neither weights nor the effects on single tokens are needed again. Beside the change
stand two that must be none: layer 1's lists shuffled among like tokens, and the early snapshot against itself.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from ablations import overlap
from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from experiments.heldout import ablation_pass, head_types
from experiments.heldout.ablation_pass import PASS
from experiments.heldout.path_overlap import SHARE
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, last_checkpoint
from experiments.statistics.chosen_pair import Halves, PairChanges, reduced
from experiments.statistics.halves import balanced_half
from experiments.statistics.overlap_change import Snapshot, changed, correlation
from experiments.statistics.permutation import permuted

FEWEST = 10  # documents of a half, which errors by document need
CHANGE, SHUFFLED, ITSELF = COMPARISONS = ("late minus early", "layer 1 shuffled", "early against itself")


class Effects(NamedTuple):
    """Effects in one run, on the same held-out tokens at both snapshots."""

    heads: list[str]
    effect: Float[np.ndarray, "snapshot head token"]  # early, late: nats that removing the head costs
    clean: Float[np.ndarray, "snapshot token"]
    target: Int[np.ndarray, " token"]
    document: Int[np.ndarray, " token"]

    @property
    def layer(self) -> Int[np.ndarray, " head"]:
        """The layer of each head."""
        return np.array([parse_head(name)[0] for name in self.heads])


def table(cells: Cells) -> xr.Dataset:
    """What `measure` says, of the pass that types rest on."""
    return cells.get(OVERLAP_CHANGES, cells.run.steps[-1], **parameters(cells))


def parameters(cells: Cells) -> dict:
    """The pass at the last checkpoint; raises NotMeasurable where no text is left for it."""
    return {"ablation": head_types.pass_of_types(cells, cells.run.steps[-1]).record()}


def measure(inputs: Inputs, step: int, cells: Cells, ablation: Parameters) -> xr.Dataset:
    """Between the early snapshot (`middle_step`) and this one: change, change_se [comparison, half, first, second],
    confirmed [comparison, first, second], largest, variance [comparison, draw], as `PairChanges` has them; overlap
    [snapshot, head, other] on all documents. Halves are the choosing and the testing one.

    Raises NotMeasurable for a text with fewer than 20 documents.
    """
    return of_effects(effects_of(cells, step, ablation))


def effects_of(cells: Cells, step: int, ablation: Parameters) -> Effects:
    """What removing each head costs, early and at this checkpoint, by the same pass."""
    steps = (middle_step(cells.run), step)
    early, late = (ablation_pass.kept(cells, ablation_pass.of_record(ablation, each)) for each in steps)
    effect, clean = (np.stack([kept[name].values for kept in (early, late)]) for name in ("effect", "clean"))
    return Effects(early.change.values.tolist(), effect, clean, early.target.values, early.document.values)


def of_effects(effects: Effects) -> xr.Dataset:
    """The dataset of `measure`."""
    documents = len(np.unique(effects.document))
    if documents < 2 * FEWEST:
        raise NotMeasurable(f"{documents} documents in the held-out text, {2 * FEWEST} are needed: use more text")
    compared = [reduced(halves) for halves in (tested(effects), tested(_shuffled(effects)), _against_itself(effects))]
    everywhere, every = np.ones(len(effects.target), dtype=bool), np.ones(len(effects.heads), dtype=bool)
    overlaps = [correlation(snapshot(effects, time, everywhere), every, every)[0] for time in (0, 1)]
    first, second = (np.array(effects.heads)[effects.layer == layer].tolist() for layer in (0, 1))
    pairs = ("first", "second")
    dims = {
        "change": ("comparison", "half", *pairs),
        "change_se": ("comparison", "half", *pairs),
        "confirmed": ("comparison", *pairs),
        "largest": ("comparison", "draw"),
        "variance": ("comparison", "draw"),
    }
    columns = zip(dims.items(), zip(*compared, strict=True), strict=True)
    data: dict = {name: (shape, np.stack(values)) for (name, shape), values in columns}
    data["confirmed"] = (dims["confirmed"], data["confirmed"][1].astype(np.int8))
    data["overlap"] = (("snapshot", "head", "other"), np.stack(overlaps))
    coords = {"comparison": list(COMPARISONS), "first": first, "second": second}
    coords |= {"head": effects.heads, "other": effects.heads}
    return xr.Dataset(data, coords, {"documents": documents, "tokens": len(effects.target)})


def pair_changes(found: xr.Dataset, comparison: str = CHANGE) -> PairChanges:
    """One comparison of the dataset of `measure`, as tests take it."""
    at = found.sel(comparison=comparison)
    value, se, largest, variance = (at[name].values for name in ("change", "change_se", "largest", "variance"))
    return PairChanges(value, se, at.confirmed.values.astype(bool), largest, variance)


def tested(effects: Effects) -> Halves:
    """The change of overlap on each half of the documents."""
    first = balanced_half(effects.document)
    return Halves(
        *(changed(snapshot(effects, 0, half), snapshot(effects, 1, half), effects.layer) for half in (first, ~first))
    )


def snapshot(effects: Effects, time: int, inside: Bool[np.ndarray, " token"]) -> Snapshot:
    """Lists and strata of some of the tokens. time: 0 early, 1 late."""
    chosen = np.stack([overlap.strongest(effect[inside], SHARE) for effect in effects.effect[time]])
    strata = overlap.strata(effects.target[inside], effects.clean[time][inside])
    return Snapshot(chosen, strata, effects.document[inside])


def _shuffled(effects: Effects) -> Effects:
    """The effects of layer 1's heads moved among like tokens, at each snapshot."""
    generator, effect = np.random.default_rng(2), effects.effect.copy()
    for time in (0, 1):
        index = permuted(generator, overlap.strata(effects.target, effects.clean[time]))
        effect[time][effects.layer == 1] = effect[time][effects.layer == 1][:, index]
    return effects._replace(effect=effect)


def _against_itself(effects: Effects) -> Halves:
    """Each half of the documents is cut in two, and the early snapshot on one part stands for the late one."""
    first, changes = balanced_half(effects.document), []
    for half in (first, ~first):
        part = np.zeros_like(half)
        part[half] = balanced_half(effects.document[half])
        changes.append(changed(snapshot(effects, 0, half & ~part), snapshot(effects, 0, part), effects.layer))
    return Halves(*changes)


def early_snapshot(inputs: Inputs, step: int | None) -> dict:
    """The checkpoint that stands for the early snapshot, by its step and its weights."""
    early = middle_step(inputs.run)
    return {"early": early, "early_weights": inputs.run.model_digest(early)}


OVERLAP_CHANGES = Kind(
    "overlap_changes",
    (1, *PASS.version),
    measure,
    steps=last_checkpoint,
    plan_fields=PASS.plan_fields,
    seconds=60.0,
    also=early_snapshot,
    keeps=whole,
)
