"""One pass over held-out text: what each of many changes costs on average, and the tokens it affects most.

The text is cut into parts, each a cell of its own: a pass can be interrupted, uses all workers, and a longer one goes
on from a shorter. Kept of a part are sums by document and a few tokens a document, so its size does not grow with the
text's; `keep` keeps the effect on every token as well.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ablations import affected, changed_losses, changes, effects, forward, substitutes
from ablations.affected import Hits
from ablations.changes import Change
from ablations.names import all_heads, head_name
from ablations.paths import check_layer_norm
from ablations.substitutes import Substitutes
from experiments import corpora
from experiments.jobs import runner
from experiments.jobs.job import Job
from experiments.measurements import inputs as bench
from experiments.measurements.inputs import Bench
from experiments.measurements.plan import Plan
from experiments.results import cells
from experiments.results.cells import Cells
from experiments.storage import store

PART = 32  # rows of one cell
DRAWS = 8  # donors that a resampled effect is averaged over
METHODS = ("zero", "mean", "resample")
WORTH_WORKERS = 10.0  # seconds of work below which starting processes takes longer
SIGNS = (1, -1)  # tokens that the change hurts, tokens that it helps


@dataclass(frozen=True)
class Survey:
    """What is asked of the text."""

    what: tuple[str, ...]  # changes, as `ablations.changes.parse_change` reads them
    step: int
    tokens: int
    method: str = "resample"
    layer_norm: str = "recompute"
    lists: bool = False
    keep: bool = False

    def part_record(self) -> dict:
        """All that a part depends on."""
        return {name: value for name, value in asdict(self).items() if name != "tokens"}

    @property
    def label(self) -> str:
        """For a person to read."""
        others = f" and {len(self.what) - 1} others" if len(self.what) > 1 else ""
        return f"{self.method} effects of {self.what[0]}{others}"

    def changes(self) -> list[Change]:
        return [changes.parse_change(text) for text in self.what]


def check(survey: Survey, on: Bench) -> Survey:
    """The survey itself; raises ValueError for what the model or the text does not have."""
    for change in survey.changes():
        changes.check_change(change, on.run.model_config())
    if survey.method not in METHODS:
        raise ValueError(f"method={survey.method!r}: it is one of {', '.join(METHODS)}")
    check_layer_norm(survey.layer_norm)
    on.run.check_step(survey.step)
    if not 1 <= survey.tokens <= available(on):
        raise ValueError(f"{survey.tokens} tokens: there are 1 to {available(on)} of held-out text {on.plan.corpus!r}")
    return survey


def of_heads(on: Bench, step: int, tokens: int) -> Survey:
    """Every head by itself, its mean in its place, effects on all tokens kept; checked."""
    names = tuple(head_name(head) for head in all_heads(on.run.model_config()))
    return check(Survey(names, step, tokens, "mean", keep=True), on)


def available(on: Bench) -> int:
    """Tokens that a survey can be of, BOS at the start of rows apart; raises ValueError when there are none."""
    found = len(text(on)) * (on.run.config["model"]["n_ctx"] - 1)
    if found == 0:
        raise ValueError(f"the held-out text {on.plan.corpus!r} is used up by means and donors: use more text")
    return found


def text(on: Bench) -> corpora.Corpus:
    """Held-out text that nothing else is measured on: neither means nor donors are of it."""
    return on.corpus.part(slice(first_row(on), None))


def first_row(on: Bench) -> int:
    """Of `text` in the held-out split."""
    return on.plan.text_rows + on.plan.reference_rows


def surveyed(survey: Survey, on: Bench) -> corpora.Corpus:
    """The rows of `text` that the survey is of: at least so many tokens."""
    return text(on).part(slice(0, -(-survey.tokens // (on.run.config["model"]["n_ctx"] - 1))))


def compute(found: Cells, asked: Iterable[Survey], executor: Executor) -> None:
    """Computes the parts that are missing: here when there is little to do, else on the executor."""
    tasks = [task for survey in asked for task in missing(found, survey)]
    if sum(task.seconds for task in tasks) < WORTH_WORKERS:
        runner.run_here(tasks, found.run.name)
    else:
        runner.run(tasks, executor, found.run.name)


def missing(found: Cells, survey: Survey) -> list[Job]:
    """The parts that are not there yet, as work."""
    tasks = []
    draws = DRAWS if survey.method == "resample" else 1
    for part in _parts(survey, found.on):
        if store.read(found.folder, _key(found.on, survey, part)) is None:
            arguments = (found.folder, found.run.folder, found.plan, survey, part)
            seconds = 4e-6 * (part[1] - part[0]) * found.on.run.config["model"]["n_ctx"] * len(survey.what) * draws
            name = f"{survey.label} at step {survey.step}, rows {part[0]} to {part[1]}"
            tasks.append(Job(work, arguments, seconds, name))
    return tasks


def work(results: Path, folder: Path, plan: Plan, survey: Survey, part: tuple[int, int]) -> None:
    """Computes and stores one part."""
    on = bench.bench(folder, plan)
    store.cached(results, _key(on, survey, part), partial(_measure, on, survey, part))


def means(found: Cells, survey: Survey) -> xr.Dataset:
    """effect, effect_se [change]: loss with the change minus loss without, nats per token, errors by document; loss."""
    parts = list(_read(found, survey))
    sums = effects.merged(
        [effects.ClusterSums(*(part[name].values for name in ("documents", "sums", "counts"))) for part in parts]
    )
    *by_change, loss = effects.estimates(sums)
    data = {
        "effect": ("change", [estimate.value for estimate in by_change]),
        "effect_se": ("change", [estimate.se for estimate in by_change]),
        "loss": ((), loss.value),
        "loss_se": ((), loss.se),
    }
    attrs = {"tokens": int(sums.counts.sum()), "documents": len(sums.documents), **survey.part_record()}
    return xr.Dataset(data, {"change": list(survey.what)}, attrs)


def hits(found: Cells, survey: Survey, change: str, sign: int, k: int) -> Hits:
    """The k tokens that the change hurts (1) or helps (-1) most; rows are those of `text`."""
    parts = []
    for part in _read(found, survey):
        chosen = (part.hit_change == survey.what.index(change)) & (part.hit_sign == sign)
        at = part.isel(hit=np.flatnonzero(chosen.values))
        parts.append(Hits(*(at[f"hit_{name}"].values for name in Hits._fields)))
    return affected.top(affected.joined(parts), sign, k)


def kept(found: Cells, survey: Survey) -> xr.Dataset:
    """Every scored token: effect [change, token], clean, target, document, row, pos [token]; needs `keep`."""
    parts = [part[[name for name in part.data_vars if "token" in part[name].dims]] for part in _read(found, survey)]
    return xr.concat(parts, "token", data_vars="minimal").assign_coords(change=list(survey.what))


def clean_losses(kept: xr.Dataset, at: Hits) -> np.ndarray:
    """Of some of the kept tokens, in nats."""
    places = kept.row.values * (1 + int(kept.pos.max())) + kept.pos.values
    order = np.argsort(places)
    wanted = at.row * (1 + int(kept.pos.max())) + at.pos
    return kept.clean.values[order[np.searchsorted(places[order], wanted)]]


@lru_cache(maxsize=4)
def donors(folder: Path, plan: Plan, step: int, half: int) -> substitutes.Pool:
    """z of one half of the reference rows: lists are chosen with the first, and printed with the second."""
    on, model = bench.bench(folder, plan), bench.model(folder, step)
    middle = plan.reference_rows // 2
    rows = slice(0, middle) if half == 0 else slice(middle, None)
    return substitutes.pool(forward.weights_of(model), model.cfg, on.reference[rows], on.reference_documents[rows])


def _parts(survey: Survey, on: Bench) -> list[tuple[int, int]]:
    count = len(surveyed(survey, on))
    return [(start, min(start + PART, count)) for start in range(0, count, PART)]


def _key(on: Bench, survey: Survey, part: tuple[int, int]) -> dict:
    return cells.key(on, "survey", survey.step) | {"survey": survey.part_record(), "part": list(part)}


def _read(found: Cells, survey: Survey) -> Iterator[xr.Dataset]:
    """The parts; computed here where they are missing."""
    for part in _parts(survey, found.on):
        key = _key(found.on, survey, part)
        yield store.cached(found.folder, key, partial(_measure, found.on, survey, part))


def stand_in(on: Bench, survey: Survey, rows: slice, half: int = 0) -> Substitutes:
    """What stands in for removed z on some rows of `text`; half: of the donors."""
    model = bench.model(on.run.folder, survey.step)
    weights = forward.weights_of(model)
    if survey.method == "zero":
        return substitutes.zeros(model.cfg)
    if survey.method == "mean":
        return substitutes.means(weights, model.cfg, on.reference)
    documents = np.asarray(text(on).documents[rows])
    pool = donors(on.run.folder, on.plan, survey.step, half)
    return substitutes.resamples(pool, documents, DRAWS, on.plan.seed, rows.start)


def _measure(on: Bench, survey: Survey, part: tuple[int, int]) -> xr.Dataset:
    """Sums by document of every effect and of the clean loss, on all tokens but BOS; hits, and what is kept."""
    model = bench.model(on.run.folder, survey.step)
    rows = text(on).part(slice(*part))
    tokens, documents, positions = rows.batch(slice(None)), np.asarray(rows.documents), np.asarray(rows.positions)
    bos, chosen = corpora.bos(rows.tokenizer), survey.changes()
    values = stand_in(on, survey, slice(*part))
    stream = changed_losses.blocks(
        forward.weights_of(model),
        model.cfg,
        tokens,
        chosen,
        values,
        survey.layer_norm,  # type: ignore[arg-type]
    )
    blocks = list(stream)
    clean = torch.cat([block.clean for block in blocks]).double().numpy()
    effect = torch.cat([block.effect for block in blocks], dim=1).double().numpy()
    counted = tokens[:, 1:].numpy() != bos
    sums = effects.cluster_sums(
        np.concatenate([effect[:, counted], clean[None, counted]]), documents[:, 1:][counted].astype(np.int64)
    )
    data = {"documents": ("document", sums.documents), "sums": (("sum", "document"), sums.sums)}
    data["counts"] = ("document", sums.counts)
    of_changes = [affected.scored(row, tokens.numpy(), documents, positions, bos, part[0]) for row in effect]
    if survey.lists:
        data |= _hits_data(of_changes)
    if survey.keep:
        first = of_changes[0]
        data |= {name: ("token", getattr(first, name)) for name in ("document", "position", "row", "pos")}
        data["target"] = ("token", first.likeness[:, -1])
        data["clean"] = ("token", clean[first.row - part[0], first.pos - 1])
        kept = np.stack([hits.effect for hits in of_changes]) / 1e6
        data["effect"] = (("change", "token"), kept.astype(np.float32))
    return xr.Dataset(data)


def _hits_data(of_changes: Iterable[Hits]) -> dict:
    """What can be in the lists, of all changes and both signs."""
    labelled = [
        (number, sign, affected.per_document(hits, sign)) for number, hits in enumerate(of_changes) for sign in SIGNS
    ]
    joined = affected.joined([hits for _, _, hits in labelled])
    data: dict = {f"hit_{name}": ("hit", getattr(joined, name)) for name in Hits._fields if name != "likeness"}
    data["hit_likeness"] = (("hit", "five"), joined.likeness)
    for name, column in (("hit_change", 0), ("hit_sign", 1)):
        data[name] = ("hit", np.concatenate([np.full(len(item[2].effect), item[column]) for item in labelled]))
    return data
