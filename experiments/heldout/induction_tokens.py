"""The tokens the induction head matters most for, and what cutting the previous-token heads' paths does to just those.

Chosen and measured as `affected_tokens` says: with one half of the donors, and with the other.
"""

import contextlib
from concurrent.futures import Executor

import numpy as np
import xarray as xr

from ablations import affected
from ablations.affected import Hits
from ablations.effects import clustered
from ablations.not_measurable import NotMeasurable
from ablations.paths import VIAS
from circuits import token_kinds
from experiments import corpora
from experiments.heldout import ablation_pass, affected_tokens
from experiments.heldout.ablation_pass import AblationPass
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.labels import with_errors
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters

TOP = 50


def pass_of(cells: Cells) -> AblationPass:
    """The pass over the text with the strongest induction head removed, at the last checkpoint."""
    head = cells.table(INDUCTION_HEADS).attrs["induction"].split("+")[0]
    tokens = min(cells.plan.affected_tokens, cells.inputs.free_tokens)
    return ablation_pass.check(AblationPass((head,), cells.run.steps[-1], tokens, lists=True), cells.inputs)


def compute(cells: Cells, executor: Executor) -> None:
    """Computes the pass over the text; nothing where the text does not allow one, which the report then says."""
    with contextlib.suppress(NotMeasurable):
        ablation_pass.compute(cells, [pass_of(cells)], executor)


def changes(circuit: xr.Dataset) -> list[str]:
    """The head itself, and its paths from the previous-token heads, through one input at a time."""
    head = circuit.attrs["induction"].split("+")[0]
    sources = circuit.attrs["previous"].split("+")
    return [head, *("+".join(f"{source}->{head}.{via}" for source in sources) for via in VIAS)]


def table(cells: Cells) -> xr.Dataset:
    """effect [change, hit] (errors over donors) and mean [change] (clustered by document), with _se and _degrees; where
    each hit is; repeated [hit]: whether the token before the target, and then the target, stood in the row before;
    attrs: the same share of all scored tokens.
    """
    ablation = pass_of(cells)
    names = changes(cells.table(INDUCTION_HEADS))
    return cells.get(INDUCTION_TOKENS, ablation.step, ablation=ablation.record(), changes=names, top=TOP)


def top_hits(cells: Cells, ablation: AblationPass, top: int = TOP) -> Hits:
    """The tokens that the pass hurts most."""
    return ablation_pass.hits(cells, ablation, ablation.what[0], 1, top)


def measure(inputs: Inputs, step: int, cells: Cells, ablation: Parameters, changes: list[str], top: int) -> xr.Dataset:
    """What `table` says."""
    asked = ablation_pass.of_record(ablation, step)
    hits = top_hits(cells, asked, top)
    count = len(hits.effect)
    effect, effect_se = np.empty((len(changes), count)), np.empty((len(changes), count))
    for number, change in enumerate(changes):
        for hit in range(count):
            seen = affected_tokens.fresh(inputs, asked, change, int(hits.row[hit]), int(hits.pos[hit]))
            draws = seen.effects(int(hits.likeness[hit, -1])).double().numpy()
            effect[number, hit], effect_se[number, hit] = draws.mean(), draws.std(ddof=1) / len(draws) ** 0.5
    means = [clustered(row, hits.document) for row in effect]
    rows = ablation_pass.rows_of(asked, inputs)
    tokens, documents, positions = (
        rows.batch(slice(None)).numpy(),
        np.asarray(rows.documents),
        np.asarray(rows.positions),
    )
    nothing = np.zeros((len(tokens), tokens.shape[1] - 1))
    scored = affected.scored(nothing, tokens, documents, positions, corpora.bos(rows.tokenizer))
    data = {
        "effect": (("change", "hit"), effect),
        "effect_se": (("change", "hit"), effect_se),
        "effect_degrees": ((), float(len(draws) - 1)),
        **with_errors("mean", ("change",), means),
        "repeated": ("hit", repeated(tokens, hits)),
        **{name: ("hit", getattr(hits, name)) for name in ("document", "position", "row", "pos")},
    }
    attrs = {"tokens": asked.tokens, "repeated_of_all": float(repeated(tokens, scored).mean())}
    return xr.Dataset(data, {"change": changes}, attrs)


def repeated(tokens: np.ndarray, hits: Hits) -> np.ndarray:
    """Whether the token before each target was followed by the target before, in the same row."""
    return token_kinds.repeats(tokens)[hits.row, hits.pos]


INDUCTION_TOKENS = Kind(
    "induction_tokens",
    (7,),
    measure,
    plan_fields=("text_rows", "reference_rows", "seed"),
    seconds=pass_time.Passes(2000),
)
