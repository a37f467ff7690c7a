"""The measurements of the main job: each is one cell per checkpoint, computed from a run, a plan and a step alone."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig

from ablations import changed_losses, forward, rerun, substitutes
from ablations.changes import Change
from ablations.effects import Estimate, clustered
from ablations.names import Head, all_heads, head_name
from ablations.paths import VIAS, all_paths, ends
from circuits import classify, composition, copying, induction, scores
from experiments.measurements import inputs as bench
from experiments.measurements.inputs import Bench, Sequences
from experiments.measurements.predictions import measure_predictions
from llc import engine, gauge
from llc.diagnose import health

TEXTS = ("random", "text")  # repeated random tokens, repeated held-out text


def measure_scores(on: Bench, step: int) -> xr.Dataset:
    """Loss, in-context learning, copy gains, and the attention scores of every head.

    Of heads: previous_token, current_token, duplicate_token_text and following_token_text (prefix matching) on held-out
    text; duplicate_token and prefix_matching on random tokens that stand four times; copying on random tokens that
    stand once; ov_copying of the weights.
    """
    model = bench.model(on.run.folder, step)
    cfg = model.cfg
    losses, by_head = _scored(
        model,
        on.text,
        {
            "previous_token": lambda patterns, rows: scores.previous_token(patterns),
            "current_token": lambda patterns, rows: scores.current_token(patterns),
            "duplicate_token_text": lambda patterns, rows: scores.attention_to(patterns, scores.duplicate_keys(rows)),
            "following_token_text": lambda patterns, rows: scores.attention_to(patterns, scores.following_keys(rows)),
        },
    )
    late, early = slice(-(cfg.n_ctx // 8), None), slice(cfg.n_ctx // 8, cfg.n_ctx * 3 // 16)
    icl = clustered(scores.in_context_learning(losses, early, late).numpy(), on.text.clusters)
    loss = clustered(losses.mean(1).numpy(), on.text.clusters)
    _, of_matching = _scored(
        model,
        on.matching(on.plan.score_sequences),
        {
            "prefix_matching": lambda patterns, rows: scores.prefix_matching(patterns, on.plan.matching_period),
            "duplicate_token": lambda patterns, rows: scores.attention_to(patterns, scores.duplicate_keys(rows)),
        },
    )
    by_head |= of_matching
    once = on.random(on.plan.score_sequences, on.plan.matching_period)
    copied = copying.copying(forward.weights_of(model), cfg, once.tokens).flatten(1).numpy()
    by_head["copying"] = [clustered(column, once.clusters) for column in copied.T]
    gains = []
    for text in TEXTS:
        sequences = on.repeated(text, on.plan.score_sequences)
        losses, _ = _scored(model, sequences, {})
        gains.append(clustered(scores.copy_gain(losses, on.plan.period).numpy(), sequences.clusters))
    data: dict = {}
    for name, estimates in by_head.items():
        data |= _estimates(name, ("restriction",), estimates)
    data["ov_copying"] = (("restriction",), scores.ov_copying(forward.weights_of(model), cfg).flatten().numpy())
    data |= _estimates("copy_gain", ("data",), gains)
    data |= _estimates("loss", (), [loss]) | _estimates("icl", (), [icl])
    return xr.Dataset(data, head_coords(model.cfg) | {"data": list(TEXTS)})


def measure_composition(on: Bench, step: int) -> xr.Dataset:
    """Composition scores of every pair of heads in different layers, folded weights, and their random baseline."""
    model = bench.model(on.run.folder, step)
    cfg = model.cfg
    values = composition.composition(forward.weights_of(model), cfg).reshape(cfg.n_layers * cfg.n_heads, -1, len(VIAS))
    baseline = composition.random_baseline(cfg)
    names = [head_name(head) for head in all_heads(cfg)]
    data = {
        "composition": (("source", "target", "via"), values.numpy()),
        "baseline": ((), np.array(baseline.mean)),
        "baseline_sd": ((), np.array(baseline.sd)),
    }
    return xr.Dataset(data, {"source": names, "target": names, "via": list(VIAS)}, {"processing": "folded"})


def measure_ablations(on: Bench, step: int) -> xr.Dataset:
    """Effect of ablating each head (zero, mean, resample) on the held-out loss, in nats per token."""
    model = bench.model(on.run.folder, step)
    weights, cfg = forward.weights_of(model), model.cfg
    rows = on.plan.ablation_rows
    text = Sequences(on.text.tokens[:rows], on.text.clusters[:rows])
    changes = [Change(heads=(head,)) for head in all_heads(cfg)]
    donors = substitutes.pool(weights, cfg, on.reference, on.reference_documents)
    methods = {
        "zero": substitutes.zeros(cfg),
        "mean": substitutes.means(weights, cfg, on.reference),
        "resample": substitutes.resamples(donors, on.text_documents[:rows], 1, on.plan.seed),
    }
    effects = [
        changed_losses.effects(weights, cfg, text.tokens, changes, lambda losses: losses.mean(1), method)
        for method in methods.values()
    ]
    estimates = [clustered(row, text.clusters) for head in zip(*effects, strict=True) for row in head]
    coords = head_coords(model.cfg) | {"method": list(methods)}
    return xr.Dataset(_estimates("effect", ("restriction", "method"), estimates, (-1, 3)), coords)


def measure_paths(on: Bench, step: int) -> xr.Dataset:
    """Effect of cutting each path between heads (mean in its place) on the copy gain of repeated random tokens."""
    model = bench.model(on.run.folder, step)
    weights, cfg = forward.weights_of(model), model.cfg
    sequences = on.repeated("random", on.plan.path_sequences)
    paths = all_paths(cfg)
    changes = [Change(cuts=(path,)) for path in paths]
    means = substitutes.means(weights, cfg, on.reference)
    effects = changed_losses.effects(weights, cfg, sequences.tokens, changes, induction.negative_copy_gain, means)
    names = [head_name(head) for head in all_heads(cfg)]
    shape = (len(names), len(names), len(VIAS))
    effect, se = np.full(shape, np.nan), np.full(shape, np.nan)
    for path, row in zip(paths, effects, strict=True):
        at = *map(names.index, ends(path)), VIAS.index(path.via)  # type: ignore[arg-type]
        effect[at], se[at] = clustered(row, sequences.clusters)
    dims = ("source", "target", "via")
    return xr.Dataset(
        {"effect": (dims, effect), "effect_se": (dims, se)}, {"source": names, "target": names, "via": list(VIAS)}
    )


def measure_circuit(on: Bench, step: int) -> xr.Dataset:
    """Which heads are previous-token and induction, and what cutting sets of heads from the induction heads removes."""
    model = bench.model(on.run.folder, step)
    weights, cfg = forward.weights_of(model), model.cfg
    measured = measure_scores(on, step)
    heads = all_heads(cfg)
    previous = classify.previous_token_heads(dict(zip(heads, measured.previous_token.values.tolist(), strict=True)))
    matching = classify.induction_heads(dict(zip(heads, measured.prefix_matching.values.tolist(), strict=True)))
    means = substitutes.means(weights, cfg, on.reference)
    per_text = []
    for text in TEXTS:
        sequences = on.repeated(text, on.plan.circuit_sequences)
        cuts = induction.set_cuts(weights, cfg, sequences.tokens, sequences.clusters, previous, matching, means)
        rows = {(_names(cut.sources), cut.via): cut for cut in cuts}
        per_text.append(rows)
    sets = sorted({sources for sources, _ in per_text[0]})
    ordered = [rows[sources, via] for rows in per_text for sources in sets for via in VIAS]
    dims, shape = ("data", "sources", "via"), (len(TEXTS), len(sets), len(VIAS))
    data = _estimates("removed", dims, [cut.removed for cut in ordered], shape)
    data |= _estimates("shortfall", dims, [cut.shortfall for cut in ordered], shape)
    attrs = {"previous": _names(tuple(sorted(previous))), "induction": _names(tuple(sorted(matching)))}
    return xr.Dataset(data, {"data": list(TEXTS), "sources": sets, "via": list(VIAS)}, attrs)


def measure_rllc(on: Bench, step: int, heads: list[Head]) -> dict[Head, xr.Dataset]:
    """Refined LLCs of heads of one layer, with their diagnostics and their traces (`trace_*`)."""
    names = [head_name(head) for head in heads]
    model = _in_gauge(bench.sampled_model(on.run.folder, step), on.plan.gauge)
    traces = engine.sample(
        model, on.sampled, names, settings=on.plan.llc, seed=on.plan.seed, loss=on.sampling_loss(step)
    )
    found = [traces[name] for name in names]
    return {
        head: health(trace).merge(trace.rename({name: f"trace_{name}" for name in trace.data_vars}))
        for head, trace in zip(heads, found, strict=True)
    }


MEASUREMENTS: dict[str, Callable[[Bench, int], xr.Dataset]] = {
    "scores": measure_scores,
    "composition": measure_composition,
    "ablations": measure_ablations,
    "paths": measure_paths,
    "predictions": measure_predictions,
    "circuit": measure_circuit,
}


def _in_gauge(model: HookedTransformer, name: str) -> HookedTransformer:
    """The same function with other weights: "balanced", or "random N" for a draw."""
    if not name:
        return model
    return gauge.balanced(model) if name == "balanced" else gauge.random_gauge(model, int(name.removeprefix("random ")))


def _scored(
    model: HookedTransformer, on: Sequences, wanted: Mapping[str, Callable[[Tensor, Tensor], Tensor]]
) -> tuple[Tensor, dict[str, list[Estimate]]]:
    """Token losses, and scores of every head; wanted: of the patterns of some heads, and the rows of tokens.

    Patterns are held of one layer and some rows at a time.
    """
    weights, cfg = forward.weights_of(model), model.cfg
    losses: list[Tensor] = []
    parts: dict[str, list[Tensor]] = {name: [] for name in wanted}
    with torch.no_grad():
        for rows in on.tokens.split(forward.rows_at_once(cfg, on.tokens.shape[1])):
            clean = rerun.clean_run(weights, cfg, rows)
            losses.append(forward.token_losses(weights, cfg, clean.residuals[-1], rows))
            of_layers: dict[str, list[Tensor]] = {name: [] for name in wanted}
            for layer in range(cfg.n_layers) if wanted else ():
                patterns = rerun.patterns(weights, cfg, clean, layer)
                for name, score in wanted.items():
                    of_layers[name].append(score(patterns, rows))
            for name, scored in of_layers.items():
                parts[name].append(torch.cat(scored, dim=1))
    by_head = {name: torch.cat(of_rows).numpy().T for name, of_rows in parts.items()}
    return torch.cat(losses), {
        name: [clustered(column, on.clusters) for column in columns] for name, columns in by_head.items()
    }


def _estimates(
    name: str, dims: tuple[str, ...], estimates: list[Estimate], shape: tuple[int, ...] | None = None
) -> dict:
    """Two variables, the value and its standard error."""
    target = shape or ((len(estimates),) if dims else ())
    values = np.array([estimate.value for estimate in estimates]).reshape(target)
    errors = np.array([estimate.se for estimate in estimates]).reshape(target)
    return {name: (dims, values), f"{name}_se": (dims, errors)}


def head_coords(cfg: HookedTransformerConfig) -> dict:
    """Every head as dim `restriction`, with its layer and its number."""
    heads = all_heads(cfg)
    return {
        "restriction": [head_name(head) for head in heads],
        "layer": ("restriction", [layer for layer, _ in heads]),
        "head": ("restriction", [head for _, head in heads]),
    }


def _names(heads: tuple[Head, ...]) -> str:
    return "+".join(head_name(head) for head in heads)
