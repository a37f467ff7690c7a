"""MLPs as nodes of paths: effects equal recomputing the target by hand, and all paths together are the whole model."""

import json
import warnings
from collections.abc import Sequence

import networkx as nx
import numpy as np
import pytest
import torch

from ablations import ablate, effects, forward, paths
from ablations.changes import Change
from ablations.models import Model
from ablations.names import mlp_layer
from ablations.paths import Path, check_path, parse_path, path_name
from circuits import circuit_quality, discover, graph, tasks
from circuits.attributions import compare
from circuits.discover_exact import last_logits, patched_run
from circuits.patched_metric import patched_metric
from tests.conftest import GPT2, PYTHIA, hooked_only, make_model

pytestmark = pytest.mark.both_majors

LLAMA = PYTHIA | {"rotary_dim": 6, "parallel_attn_mlp": False, "gated_mlp": True, "act_fn": "silu"}
KINDS = {
    "after attention, LN, gelu": GPT2,
    "after attention, RMS, relu": GPT2 | {"normalization_type": "RMS", "act_fn": "relu"},
    "after attention, no norm": GPT2 | {"normalization_type": None},
    "after attention, three layers, LNPre": GPT2 | {"n_layers": 3, "normalization_type": "LNPre"},
    "beside attention, LN, rotary": PYTHIA,
    "beside attention, RMS, three layers": PYTHIA | {"n_layers": 3, "normalization_type": "RMS"},
    "beside attention, no norm, relu": PYTHIA | {"normalization_type": None, "act_fn": "relu"},
    "gated silu, RMS, rotary": LLAMA | {"normalization_type": "RMS"},
    "shortformer": GPT2 | {"positional_embedding_type": "shortformer"},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def of_kind(kind: str) -> Model:
    return make_model(3, torch.float64, **KINDS[kind])


def some_task() -> tasks.Task:
    generator = torch.Generator().manual_seed(0)
    clean, corrupted = (torch.randint(50, (4, 7), generator=generator) for _ in range(2))
    return tasks.Task("test", clean, corrupted, clean[:, 0], clean[:, 1])


TASK = some_task()


def mlp_paths(every: Sequence[Path]) -> list[Path]:
    """Those from or into an MLP."""
    return [path for path in every if any(mlp_layer(end) is not None for end in path[:2])]


def test_candidates_are_all_that_the_targets_read() -> None:
    shape = {"n_heads": 1}
    after, beside, none = (make_model(**(kind | shape)).cfg for kind in (GPT2, PYTHIA, {}))
    heads_alone = [f"embed->{head}.{via}" for head in ("L0H0", "L1H0") for via in "qkv"]
    heads_alone += [f"L0H0->L1H0.{via}" for via in "qkv"]
    to_output = [f"{source}->output" for source in ("embed", "L0H0", "L1H0")]
    assert [*map(path_name, discover.candidates(none))] == heads_alone + to_output
    both = {"embed->MLP0", "embed->MLP1", "L0H0->MLP1", "MLP0->MLP1", "MLP0->output", "MLP1->output"}
    both |= {*heads_alone, *to_output, "MLP0->L1H0.q", "MLP0->L1H0.k", "MLP0->L1H0.v"}
    assert {*map(path_name, discover.candidates(beside))} == both
    assert {*map(path_name, discover.candidates(after))} == both | {"L0H0->MLP0", "L1H0->MLP1"}
    assert {path_name(path) for path in discover.candidates(after, [(0, 0)])} == {
        name for name in both | {"L0H0->MLP0"} if "L0H0" in name
    }


def test_names_of_mlps_are_read_and_paths_that_there_are_not_are_refused() -> None:
    assert parse_path("mlp0 -> L1H2.k") == parse_path("m0->a1.h2.k") == Path("MLP0", (1, 2), "k")
    assert parse_path("L0H1->MLP0") == Path((0, 1), "MLP0")
    assert path_name(parse_path("MLP0->output")) == "MLP0->output"
    for text in ("MLP0->MLP1.k", "MLP0->L1H2", "MLP->L1H2.k"):
        with pytest.raises(ValueError, match="is not a"):
            parse_path(text)
    after, beside, none = (make_model(**kind).cfg for kind in (GPT2, PYTHIA, {}))
    assert check_path(parse_path("L0H1->MLP0"), after)
    refused = [
        ("L0H1->MLP0", beside, "earlier layer"),
        ("L1H1->MLP0", after, "earlier layer"),
        ("MLP1->L1H0.q", after, "earlier layer"),
        ("MLP1->MLP1", after, "earlier layer"),
        ("MLP2->output", after, "no source 'MLP2'"),
        ("embed->MLP2", after, "no target 'MLP2': it must be a head, an MLP or 'output'"),
        ("MLP0->L1H0.q", none, "no source 'MLP0'"),
        ("embed->MLP0", none, "no target 'MLP0': it must be a head or 'output'"),
        ("b_O->MLP0", beside, "no layer comes before"),
    ]
    for text, cfg, said in refused:
        with pytest.raises(ValueError, match=said):
            check_path(parse_path(text), cfg)
    with pytest.raises(ValueError, match="no input 'k' of MLP1: leave it out"):
        check_path(Path("MLP0", "MLP1", "k"), after)


@every_kind
def test_all_paths_together_are_the_corrupted_run_and_none_is_the_clean_one(kind: str) -> None:
    model = of_kind(kind)
    weights, cfg, every = forward.weights_of(model), model.cfg, discover.candidates(model.cfg)
    with torch.no_grad():
        run, _, _ = patched_run(weights, cfg, TASK, tasks.logit_difference)
        clean, corrupted = (model(tokens)[:, -1:] for tokens in (TASK.clean, TASK.corrupted))
        torch.testing.assert_close(last_logits(run, Change(cuts=every)), corrupted, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(last_logits(run, Change()), clean, rtol=1e-10, atol=1e-10)
        for node in ("MLP0", "MLP1"):  # negative control: without the paths of a node it is another run
            part = tuple(path for path in every if node not in path)
            assert (last_logits(run, Change(cuts=part)) - corrupted).abs().max() > 1e-3
    none = circuit_quality.evaluate(weights, cfg, TASK, [])
    assert (none.faithfulness, none.completeness) == pytest.approx((0, 1), abs=1e-9)
    made = patched_metric(weights, cfg, TASK, tasks.logit_difference)
    on_corrupted = tasks.logit_difference(TASK, corrupted).mean()
    assert made.none == pytest.approx(float(on_corrupted), abs=1e-9)  # faithfulness counts what goes through MLPs
    heads_alone = [path for path in every if path not in mlp_paths(every)]
    assert abs(made.share(heads_alone)) > 1e-3  # negative control
    assert np.isfinite(circuit_quality.random_circuits(weights, cfg, TASK, 5, 2).faithfulness).all()


@every_kind
def test_functions_and_hooks_agree(kind: str) -> None:
    """On every third path from or into an MLP; the other test of effects has all."""
    model = of_kind(kind)
    chosen = mlp_paths(discover.candidates(model.cfg))[::3]
    for layer_norm in ("recompute", "freeze"):
        functions, hooks = (
            discover.path_effects(model, TASK, chosen, way=way, layer_norm=layer_norm) for way in ("functions", "hooks")
        )
        np.testing.assert_allclose(functions.effect, hooks.effect, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(functions.p, hooks.p, rtol=1e-6)
        assert np.abs(functions.effect[1:] - functions.effect[:-1]).max() > 1e-2  # negative control: another path
        if layer_norm == "recompute":
            recomputed = functions.effect
    into = [number for number, path in enumerate(chosen) if path.target == "MLP1"]
    assert (np.abs(functions.effect - recomputed)[into].max() > 1e-3) == (model.cfg.normalization_type is not None)


def by_hand(model: Model, path: Path, caches: tuple) -> torch.Tensor:
    """Logits of the clean prompts with one path patched: what the target gives is recomputed from what it then reads,
    by the model's own modules, and put in its place.
    """
    clean, corrupted = caches

    def written(cache) -> torch.Tensor:
        if isinstance(path.source, tuple):
            layer, head = path.source
            return cache["z", layer][:, :, head] @ model.blocks[layer].attn.W_O[head]
        return cache["hook_embed"] if path.source == "embed" else cache["mlp_out", int(path.source[3:])]

    change = written(corrupted) - written(clean)
    last = model.cfg.n_layers - 1
    if path.target == "output":
        final = getattr(model, "ln_final", torch.nn.Identity())  # there is none without norms
        return model.unembed(final(clean["resid_post", last] + change))
    layer = int(path.target[3:]) if isinstance(path.target, str) else path.target[0]
    block = model.blocks[layer]
    if isinstance(path.target, str):
        stream = clean["resid_pre" if model.cfg.parallel_attn_mlp else "resid_mid", layer]
        value = block.mlp(block.ln2(stream + change))
        return model.run_with_hooks(TASK.clean, fwd_hooks=[(f"blocks.{layer}.hook_mlp_out", lambda old, hook: value)])
    read = block.ln1(clean["resid_pre", layer] + change)
    if model.cfg.positional_embedding_type == "shortformer" and path.via != "v":
        read = read + model.W_pos[: read.shape[1]]
    head, name = path.target[1], str(path.via)
    weight, bias = (getattr(block.attn, f"{kind}_{name.upper()}")[head] for kind in "Wb")

    def replaced(old: torch.Tensor, hook: object) -> torch.Tensor:
        new = old.clone()
        new[:, :, head] = read @ weight + bias
        return new

    return model.run_with_hooks(TASK.clean, fwd_hooks=[(f"blocks.{layer}.attn.hook_{name}", replaced)])


@hooked_only
@every_kind
def test_every_effect_of_a_path_of_an_mlp_is_that_of_recomputing_the_target(kind: str) -> None:
    model = of_kind(kind)
    chosen = mlp_paths(discover.candidates(model.cfg))
    found = discover.exact(forward.weights_of(model), model.cfg, TASK, chosen)
    with torch.no_grad():
        clean = tasks.logit_difference(TASK, model(TASK.clean)[:, -1:])
        caches = tuple(model.run_with_cache(tokens)[1] for tokens in (TASK.clean, TASK.corrupted))
        logits = [by_hand(model, path, caches)[:, -1:] for path in found.paths]
    expected = [tasks.logit_difference(TASK, one) - clean for one in logits]
    np.testing.assert_allclose(found.effect, torch.stack(expected).numpy(), rtol=1e-8, atol=1e-10)
    by_path = dict(zip(found.paths, found.effect, strict=True))
    neighbours = [  # negative controls: another input, another source, another target
        ("MLP0->L1H2.k", "MLP0->L1H2.v"),
        ("MLP0->L1H2.v", "MLP0->L1H1.v"),
        ("L0H1->MLP1", "L0H2->MLP1"),
        ("MLP0->MLP1", "MLP0->output"),
        ("embed->MLP0", "embed->MLP1"),
    ]
    for one, other in neighbours:
        assert np.abs(by_path[parse_path(one)] - by_path[parse_path(other)]).max() > 1e-3, (one, other)


@pytest.mark.parametrize("kind", ["after attention, LN, gelu", "beside attention, LN, rotary"])
def test_paths_from_and_into_mlps_are_cut_on_text(kind: str) -> None:
    model, names = of_kind(kind), ["MLP0->L1H2.v", "embed->MLP0", "L0H1->MLP1", "MLP1->output", "L0H1->MLP1+L1H0"]
    functions, hooks = (ablate(model, TASK.clean, names, method="zero", way=way) for way in ("functions", "hooks"))
    torch.testing.assert_close(functions.effect, hooks.effect, rtol=1e-9, atol=1e-9)
    single = effects.token_effects(model, TASK.clean, paths.cut(model, "MLP0->L1H2.v"))
    torch.testing.assert_close(functions.effect[0], single, rtol=1e-9, atol=1e-9)
    assert all(effect.abs().max() > 1e-3 for effect in functions.effect)  # negative control: something is cut
    assert not torch.allclose(functions.effect[2], functions.effect[4], atol=1e-3)
    into = ablate(model, TASK.clean, "L0H1->MLP1", method="mean", reference=TASK.corrupted)
    by_hooks = ablate(model, TASK.clean, "L0H1->MLP1", method="mean", reference=TASK.corrupted, way="hooks")
    torch.testing.assert_close(into.effect, by_hooks.effect, rtol=1e-9, atol=1e-9)
    for way in ("functions", "hooks"):
        with pytest.raises(ValueError, match=r"MLP0->L1H2\.v: means and other documents' values are those of heads"):
            ablate(model, TASK.clean, names, method="mean", reference=TASK.corrupted, way=way)


@hooked_only
def test_flags_of_the_model_are_as_before() -> None:
    model = of_kind("after attention, LN, gelu")
    discover.path_effects(model, TASK, ["L0H1->MLP1", "MLP0->L1H2.k"], way="hooks")
    assert not model.cfg.use_hook_mlp_in and not model.cfg.use_split_qkv_input


@pytest.mark.parametrize(
    "kind", ["after attention, RMS, relu", "beside attention, LN, rotary", "gated silu, RMS, rotary"]
)
def test_eap_is_the_derivative_of_exact_effects(kind: str) -> None:
    model, small = of_kind(kind), 1e-6
    weights, cfg, every = forward.weights_of(model), model.cfg, discover.candidates(model.cfg)
    estimated = discover.attribution(weights, cfg, TASK, every).effect
    with torch.no_grad():
        run, clean, _ = patched_run(weights, cfg, TASK, tasks.logit_difference)
        own, _, _ = patched_run(weights, cfg, TASK._replace(corrupted=TASK.clean), tasks.logit_difference)
        near = {source: own.values[source] + small * (run.values[source] - own.values[source]) for source in run.values}
        run = run._replace(values=near)
        moved = [tasks.logit_difference(TASK, last_logits(run, Change(cuts=(path,)))) - clean for path in every]
    derivative = (torch.stack(moved) / small).numpy()
    np.testing.assert_allclose(estimated, derivative, rtol=1e-3, atol=1e-4)
    of_mlps = [every.index(path) for path in mlp_paths(every)]
    assert np.abs(estimated[of_mlps[1:]] - estimated[of_mlps[:-1]]).max() > 1e-2  # negative control: another path


def test_every_method_estimates_paths_of_mlps() -> None:
    """Of a model whose paths are all but linear, where each has to come near exact effects."""
    model = of_kind("after attention, no norm")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "W_Q" in name or "W_K" in name or "mlp.W_in" in name:
                parameter *= 0.05
    weights, cfg = forward.weights_of(model), model.cfg
    names = ("EAP", "EAP-IG (inputs)", "EAP-IG (activations)", "RelP", "AtP, queries and keys")
    into = [path for path in discover.candidates(cfg) if path.via not in ("q", "k")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = compare.compare(weights, cfg, TASK, into, methods=names)
    assert table.correlation.sel(estimator=["EAP", "EAP-IG (inputs)", "EAP-IG (activations)"]).min() > 0.99
    assert np.isfinite(table.effect).all()
    shuffled = np.corrcoef(table.effect[0], np.roll(table.effect[1], 1))[0, 1]
    assert shuffled < 0.9  # negative control: other paths


@pytest.mark.parametrize("parallel", [False, True])
def test_the_graph_has_mlps_and_mib_reads_it_as_it_was_evaluated(parallel: bool) -> None:
    model = make_model(**(PYTHIA if parallel else GPT2), n_heads=2)
    cfg, measured = model.cfg, discover.path_effects(model, TASK)
    found = np.arange(len(measured.paths)) % 2 == 0
    whole = graph.circuit_graph(cfg, measured, found)
    assert nx.is_directed_acyclic_graph(whole) and whole.nodes["MLP1"] == {"layer": 1}
    number = measured.paths.index(parse_path("embed->MLP1"))
    assert whole.edges["embed", "MLP1"]["mlp"]["effect"] == pytest.approx(measured.effect[number].mean())
    assert sum(1 for _ in graph.records(whole)) == len(measured.paths)
    written = json.loads(json.dumps(graph.mib(whole, cfg)))
    assert written["cfg"]["parallel_attn_mlp"] is parallel
    expected, before = set(), ["input"]
    for layer in range(2):  # as EAP-IG makes the graph of a model
        heads, mlp = [f"a{layer}.h{head}" for head in range(2)], f"m{layer}"
        expected |= {f"{source}->{head}<{via}>" for source in before for head in heads for via in "qkv"}
        expected |= {f"{source}->{mlp}" for source in (before if parallel else before + heads)}
        before = [*before, *heads, mlp]
    assert set(written["edges"]) == expected | {f"{source}->logits" for source in before}
    assert set(written["nodes"]) == {*before, "logits"}
    back = graph.from_mib(written)
    assert set(back.nodes) == set(whole.nodes) and all(back.nodes[node] == whole.nodes[node] for node in whole.nodes)
    of_both = [
        {(source, target, via): (abs(one["effect"]), one["found"]) for source, target, via, one in graph.records(each)}
        for each in (whole, back)
    ]
    assert of_both[0] == of_both[1]
    quiet = {"score": 0.0, "in_graph": False}
    none = {name: quiet if "m" in name else edge for name, edge in written["edges"].items()}
    assert "MLP0" not in graph.from_mib(written | {"edges": none}).nodes  # as EAP-IG writes attention-only models
