"""The tokens the induction head matters most for, and what cutting the previous-token heads' paths does to just those.

Chosen and measured as `contexts` says: with one half of the donors, and with the other.
"""

import contextlib
from concurrent.futures import Executor

import numpy as np
import xarray as xr

from ablations import affected
from ablations.affected import Hits
from ablations.effects import clustered
from ablations.paths import VIAS
from circuits import token_kinds
from experiments import corpora
from experiments.heldout import ablation_pass, affected_tokens
from experiments.heldout.ablation_pass import Survey
from experiments.results import cells
from experiments.results.cells import Cells
from experiments.storage import store

TOP = 50


def asked(found: Cells, circuit: xr.Dataset) -> Survey:
    """The pass over the text: the strongest induction head, at the last checkpoint."""
    head = circuit.attrs["induction"].split("+")[0]
    tokens = min(found.plan.affected_tokens, ablation_pass.available(found.on))
    return ablation_pass.check(Survey((head,), found.run.steps[-1], tokens, lists=True), found.on)


def compute(found: Cells, executor: Executor) -> None:
    """The pass over the text; nothing where the text does not allow one."""
    with contextlib.suppress(ValueError):  # the report says why
        ablation_pass.compute(found, [asked(found, found.table("circuit"))], executor)


def changes(circuit: xr.Dataset) -> list[str]:
    """The head itself, and its paths from the previous-token heads, through one input at a time."""
    head = circuit.attrs["induction"].split("+")[0]
    sources = circuit.attrs["previous"].split("+")
    return [head, *("+".join(f"{source}->{head}.{via}" for source in sources) for via in VIAS)]


def table(found: Cells) -> xr.Dataset:
    """effect, effect_se [change, hit] (errors over donors), mean, mean_se [change] (by document); where each hit is;
    repeated [hit]: did the token before the target, and then the target, stand in the row before; its attrs: the same
    share of all scored tokens.
    """
    circuit = found.table("circuit")
    survey_asked, names = asked(found, circuit), changes(circuit)
    key = cells.key(found.on, "affected", survey_asked.step) | {
        "survey": survey_asked.part_record() | {"tokens": survey_asked.tokens},
        "changes": names,
        "top": TOP,
    }
    return store.cached(found.folder, key, lambda: _measure(found, survey_asked, names))


def top_hits(found: Cells, survey_asked: Survey) -> Hits:
    return ablation_pass.hits(found, survey_asked, survey_asked.what[0], 1, TOP)


def _measure(found: Cells, survey_asked: Survey, names: list[str]) -> xr.Dataset:
    hits, on = top_hits(found, survey_asked), found.on
    count = len(hits.effect)
    effect, effect_se = np.empty((len(names), count)), np.empty((len(names), count))
    for number, name in enumerate(names):
        for hit in range(count):
            seen = affected_tokens.fresh(on, survey_asked, name, int(hits.row[hit]), int(hits.pos[hit]))
            draws = seen.effects(int(hits.likeness[hit, -1])).double().numpy()
            effect[number, hit], effect_se[number, hit] = draws.mean(), draws.std(ddof=1) / len(draws) ** 0.5
    means = [clustered(row, hits.document) for row in effect]
    rows = ablation_pass.surveyed(survey_asked, on)
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
        "mean": ("change", np.array([mean.value for mean in means])),
        "mean_se": ("change", np.array([mean.se for mean in means])),
        "repeated": ("hit", repeated(tokens, hits)),
        **{name: ("hit", getattr(hits, name)) for name in ("document", "position", "row", "pos")},
    }
    attrs = {"tokens": survey_asked.tokens, "repeated_of_all": float(repeated(tokens, scored).mean())}
    return xr.Dataset(data, {"change": names}, attrs)


def repeated(tokens: np.ndarray, hits: Hits) -> np.ndarray:
    """Whether the token before the target was followed by the target before, in the same row."""
    return token_kinds.repeats(tokens)[hits.row, hits.pos]
