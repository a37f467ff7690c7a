"""One pass over held-out text: what each of many changes costs on average, and the tokens it affects most.

The text is cut into parts, each a cell of its own: a pass can be interrupted, uses all workers, and a longer one goes
on from a shorter. Kept of a part are sums by document and a few tokens a document, so its size does not grow with the
text's; `keep` keeps the effect on every token as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass

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
from experiments.corpora.corpus import Corpus
from experiments.jobs import device, runner
from experiments.jobs.job import Job
from experiments.measurements.labels import with_errors
from experiments.results import pass_time
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters
from experiments.storage.recent import Recent

PART = 32  # rows of one cell
DRAWS = 8  # donors that a resampled effect is averaged over
METHODS = ("zero", "mean", "resample")
ITSELF = "own value"  # what a removed head would write if it attended to the token itself alone
WORTH_WORKERS = 10.0  # seconds of work below which starting processes takes longer
SIGNS = (1, -1)  # tokens that the change hurts, tokens that it helps
_POOLS: Recent[substitutes.Pool] = Recent(4)


@dataclass(frozen=True)
class AblationPass:
    """What is removed, how, and over how much text."""

    what: tuple[str, ...]  # changes, as `ablations.changes.parse_change` reads them
    step: int
    tokens: int
    method: str = "resample"
    layer_norm: str = "recompute"
    lists: bool = False  # whether the most affected tokens are listed
    keep: bool = False  # whether the effect on every token is kept

    def part_record(self) -> dict:
        """All that a part of the pass depends on, as JSON values."""
        record = {name: value for name, value in asdict(self).items() if name not in ("tokens", "step")}
        return record | {"what": list(self.what)}

    def record(self) -> dict:
        """All that the whole pass depends on, as JSON values."""
        return self.part_record() | {"tokens": self.tokens}

    def changes(self) -> list[Change]:
        """What is removed, parsed."""
        return [changes.parse_change(text) for text in self.what]


def of_record(record: Parameters, step: int, tokens: int = 0) -> AblationPass:
    """The pass that `record` or `part_record` tells of."""
    fields = {"tokens": tokens} | dict(record)
    return AblationPass(step=step, **(fields | {"what": tuple(record["what"])}))


def check(ablation: AblationPass, inputs: Inputs) -> AblationPass:
    """The pass itself; raises ValueError for what the model or the text does not have."""
    for change in ablation.changes():
        changes.check_change(change, inputs.run.model_config())
    if ablation.method not in (*METHODS, ITSELF):
        raise ValueError(f"method={ablation.method!r}: it is one of {', '.join(METHODS)}")
    check_layer_norm(ablation.layer_norm)
    inputs.run.check_step(ablation.step)
    if not 1 <= ablation.tokens <= inputs.free_tokens:
        raise ValueError(
            f"{ablation.tokens} tokens: there are 1 to {inputs.free_tokens} of held-out text {inputs.plan.corpus!r}"
        )
    return ablation


def of_heads(inputs: Inputs, step: int, tokens: int, heads: Sequence[str] = ()) -> AblationPass:
    """The pass in which each of these heads (default: of all) is removed by itself (mean ablation), effects on all
    tokens kept; checked.
    """
    names = tuple(heads) or tuple(head_name(head) for head in all_heads(inputs.run.model_config()))
    return check(AblationPass(names, step, tokens, "mean", keep=True), inputs)


def rows_of(ablation: AblationPass, inputs: Inputs) -> Corpus:
    """The rows of the free held-out text that the pass is over: at least as many tokens as it asks for."""
    return inputs.free_rows(ablation.tokens)


def compute(cells: Cells, passes: Iterable[AblationPass], executor: Executor) -> None:
    """Computes the parts that are missing, as `run` does."""
    run(cells, [job for ablation in passes for job in missing(cells, ablation)], executor)


def run(cells: Cells, jobs: Sequence[Job], executor: Executor) -> None:
    """Runs jobs: in this process when there is little to do, else on the executor."""
    if sum(job.seconds for job in jobs) < WORTH_WORKERS:
        runner.run_here(jobs, cells.run.name)
    else:
        runner.run(jobs, executor, cells.run.name)


def missing(cells: Cells, ablation: AblationPass) -> list[Job]:
    """The parts of the pass that are not there yet, as jobs."""
    parameters = [_parameters(ablation, part) for part in _parts(ablation, cells.inputs)]
    return [job for part in parameters for job in cells.missing(PASS, ablation.step, **part)]


def means(cells: Cells, ablation: AblationPass) -> xr.Dataset:
    """effect [change]: loss with the change minus loss without, nats per token; loss of the model as it is; each with
    its error, clustered by document, as `labels.with_errors` gives it.
    """
    of_documents = sums(cells, ablation)
    *by_change, loss = effects.estimates(of_documents)
    data = with_errors("effect", ("change",), by_change) | with_errors("loss", (), [loss])
    count, documents = int(of_documents.counts.sum()), len(of_documents.documents)
    attrs = {"tokens": count, "documents": documents, **ablation.part_record()}
    return xr.Dataset(data, {"change": list(ablation.what)}, attrs)


def sums(cells: Cells, ablation: AblationPass) -> effects.ClusterSums:
    """Sums by document of every change's effect, and last of the clean loss, over all tokens but BOS."""
    parts = list(_read(cells, ablation))
    return effects.merged(
        [effects.ClusterSums(*(part[name].values for name in ("documents", "sums", "counts"))) for part in parts]
    )


def hits(cells: Cells, ablation: AblationPass, change: str, sign: int, k: int) -> Hits:
    """The k tokens that the change hurts (1) or helps (-1) most; rows are those of the free held-out text."""
    parts = []
    for part in _read(cells, ablation):
        chosen = (part.hit_change == ablation.what.index(change)) & (part.hit_sign == sign)
        listed = part.isel(hit=np.flatnonzero(chosen.values))
        parts.append(Hits(*(listed[f"hit_{name}"].values for name in Hits._fields)))
    return affected.top(affected.joined(parts), sign, k)


def kept(cells: Cells, ablation: AblationPass) -> xr.Dataset:
    """Every scored token: effect [change, token], clean, target, document, row, pos [token]; needs `keep`."""
    parts = [part[[n for n in part.data_vars if "token" in part[n].dims]] for part in _read(cells, ablation)]
    return xr.concat(parts, "token", data_vars="minimal").assign_coords(change=list(ablation.what))


def clean_losses(kept_tokens: xr.Dataset, chosen: Hits) -> np.ndarray:
    """The clean losses of some of the kept tokens, in nats."""
    width = 1 + int(kept_tokens.pos.max())
    places = kept_tokens.row.values * width + kept_tokens.pos.values
    order = np.argsort(places)
    wanted = chosen.row * width + chosen.pos
    return kept_tokens.clean.values[order[np.searchsorted(places[order], wanted)]]


def as_hits(kept_tokens: xr.Dataset, tokens: np.ndarray, effect: np.ndarray) -> Hits:
    """The kept tokens with one change's effects (nats), as lists of affected tokens are made of them."""
    document, position, row, pos = (kept_tokens[name].values for name in ("document", "position", "row", "pos"))
    back = np.arange(affected.CONTEXT, -1, -1)
    likeness = tokens[row[:, None], pos[:, None] - back]
    micronats = np.rint(effect.astype(np.float64) * 1e6).astype(np.int64)
    return Hits(micronats, document, position, row, pos, likeness)


def donors(inputs: Inputs, step: int, half: int) -> substitutes.Pool:
    """z of one half of the reference rows: lists are chosen with the first, and printed with the second."""
    run, plan = inputs.run, inputs.plan
    rows = (plan.text_rows, plan.reference_rows)
    content = (run.model_digest(step), run.configuration, inputs.corpus.fingerprint, rows, half, str(device.own()))

    def pool() -> substitutes.Pool:
        model, middle = inputs.model_here(step), plan.reference_rows // 2
        own = slice(0, middle) if half == 0 else slice(middle, None)
        documents = inputs.reference_documents[own]
        return substitutes.pool(forward.weights_of(model), model.cfg, inputs.reference[own], documents)

    return _POOLS.get(content, pool)


def stand_in(inputs: Inputs, ablation: AblationPass, rows: slice, half: int = 0) -> Substitutes:
    """What takes the place of removed z on some rows of the free held-out text; half: of the donors."""
    model = inputs.model_here(ablation.step)
    weights = forward.weights_of(model)
    if ablation.method == "zero":
        return substitutes.zeros(model.cfg)
    if ablation.method == ITSELF:
        return substitutes.own_values(weights, model.cfg, inputs.free_text.part(rows).batch(slice(None)))
    if ablation.method == "mean":
        return substitutes.means(weights, model.cfg, inputs.reference)
    documents = np.asarray(inputs.free_text.documents[rows])
    pool = donors(inputs, ablation.step, half)
    return substitutes.resamples(pool, documents, DRAWS, inputs.plan.seed, rows.start)


def measure(inputs: Inputs, step: int, cells: Cells, ablation: Parameters, rows: list[int]) -> xr.Dataset:
    """One part of a pass: sums by document of every effect and of the clean loss, on all tokens but BOS; hits where
    lists are asked for, and every token where they are kept.
    """
    asked, part = of_record(ablation, step), slice(*rows)
    model, text = inputs.model_here(step), inputs.free_text.part(part)
    tokens, documents, positions = text.batch(slice(None)), np.asarray(text.documents), np.asarray(text.positions)
    bos = corpora.bos(text.tokenizer)
    stream = changed_losses.blocks(
        forward.weights_of(model),
        model.cfg,
        tokens,
        asked.changes(),
        stand_in(inputs, asked, part),
        asked.layer_norm,  # type: ignore[arg-type]
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
    of_changes = [affected.scored(row, tokens.numpy(), documents, positions, bos, part.start) for row in effect]
    if asked.lists:
        data |= _hits_data(of_changes)
    if asked.keep:
        data |= _kept_data(of_changes, clean, part.start)
    return xr.Dataset(data)


def _kept_data(of_changes: list[Hits], clean: np.ndarray, first_row: int) -> dict:
    """Every scored token: where it is, its clean loss, and the effect of each change."""
    first = of_changes[0]
    data: dict = {name: ("token", getattr(first, name)) for name in ("document", "position", "row", "pos")}
    data["target"] = ("token", first.likeness[:, -1])
    data["clean"] = ("token", clean[first.row - first_row, first.pos - 1])
    by_token = np.stack([scored.effect for scored in of_changes]) / 1e6
    return data | {"effect": (("change", "token"), by_token.astype(np.float32))}


def _hits_data(of_changes: Iterable[Hits]) -> dict:
    """What can be in the lists of most affected tokens, of all changes and both signs."""
    labelled = [
        (number, sign, affected.per_document(scored, sign))
        for number, scored in enumerate(of_changes)
        for sign in SIGNS
    ]
    joined = affected.joined([scored for _, _, scored in labelled])
    data: dict = {f"hit_{name}": ("hit", getattr(joined, name)) for name in Hits._fields if name != "likeness"}
    data["hit_likeness"] = (("hit", "five"), joined.likeness)
    for name, column in (("hit_change", 0), ("hit_sign", 1)):
        data[name] = ("hit", np.concatenate([np.full(len(item[2].effect), item[column]) for item in labelled]))
    return data


def _parts(ablation: AblationPass, inputs: Inputs) -> list[tuple[int, int]]:
    count = len(rows_of(ablation, inputs))
    return [(start, min(start + PART, count)) for start in range(0, count, PART)]


def _parameters(ablation: AblationPass, part: tuple[int, int]) -> dict:
    return {"ablation": ablation.part_record(), "rows": list(part)}


def _read(cells: Cells, ablation: AblationPass) -> Iterator[xr.Dataset]:
    """The parts of the pass; computed here where they are missing."""
    for part in _parts(ablation, cells.inputs):
        yield cells.get(PASS, ablation.step, **_parameters(ablation, part))


def seconds(inputs: Inputs, parameters: Parameters) -> float:
    """Rough seconds of one part: the model's own run, that of the rows that substitutes come from, and the changes."""
    ablation, (first, last) = of_record(parameters["ablation"], 0), parameters["rows"]
    draws = DRAWS if ablation.method == "resample" else 1
    cfg = inputs.run.model_config()
    reference = inputs.plan.reference_rows * (1 - pass_time.rerun(cfg, cfg.n_layers))  # without logits
    own = pass_time.seconds(inputs, last - first + reference)
    return own + pass_time.of_changes(inputs, ablation.changes(), 1.3 * draws * (last - first))


def label(inputs: Inputs, parameters: Parameters) -> str:
    """The method, what is removed, and the rows."""
    ablation, (first, last) = parameters["ablation"], parameters["rows"]
    others = f" and {len(ablation['what']) - 1} others" if len(ablation["what"]) > 1 else ""
    return f"{ablation['method']} ablation of {ablation['what'][0]}{others}, rows {first} to {last},"


PASS = Kind(
    "ablation_pass",
    (6,),
    measure,
    plan_fields=("text_rows", "reference_rows", "seed"),
    seconds=seconds,
    label=label,
)
