"""Models with MLPs, standard or rotary positions and parallel layers: what the libraries say of them is what their own
forward and hooks say, and what cannot be said of them is refused.
"""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr

from ablations import effects, forward, heads, patching
from ablations.models import Model
from ablations.paths import Path, cut, parse_path
from circuits import composition, copying, discover, discover_hooks, graph, multigrams, scores, tasks
from circuits.context_gain import log_probabilities
from llc import calibrate, engine, gauge, losses
from llc.chains import minibatches
from llc.diagnose import health
from llc.estimate import learning_coefficient
from llc.fisher_trace import fisher_trace
from llc.hessian_trace import hessian_trace, parameters, random_signs
from llc.restrict import parse
from llc.trace import generator
from tests.conftest import GPT2, PYTHIA, make_model
from tests.llc.conftest import SHORT, settings

TOKENS = torch.randint(50, (6, 12), generator=torch.Generator().manual_seed(1))
OTHERS = TOKENS.flip(0)


def gpt2(seed: int = 0, **overrides: object) -> Model:
    return make_model(seed, **(GPT2 | overrides))


def pythia(seed: int = 0, **overrides: object) -> Model:
    return make_model(seed, **(PYTHIA | overrides))


MODELS: dict[str, Callable[..., Model]] = {
    "gpt2": gpt2,
    "pythia": pythia,
    "pythia, folded": lambda seed=0, **more: pythia(seed, normalization_type="LNPre", **more),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def own_losses(model: Model, tokens: torch.Tensor = TOKENS, hooks: list | None = None) -> torch.Tensor:
    """Token losses by TransformerLens alone."""
    with torch.no_grad():
        return model.run_with_hooks(tokens, return_type="loss", loss_per_token=True, fwd_hooks=hooks or [])


def own_gradients(model: Model, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of the mean loss, by TransformerLens's forward and backward."""
    model = copy.deepcopy(model).requires_grad_(True)
    model(tokens, return_type="loss").backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


HEAD = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")
VARIED: dict[str, list[tuple[str, object]]] = {
    "L1H0": [(f"blocks.1.attn.{name}", 0) for name in HEAD],
    "embed": [("embed.W_E", slice(None))],
    "blocks.0.mlp.W_in": [("blocks.0.mlp.W_in", slice(None))],
}


def walked(model: Model, restriction: str, draws: int, seed: int, nbeta: float) -> list[float]:
    """Losses of chain 0 of SGLD, written out once more on a copy of the model, through its own backward pass."""
    at, noise, found = copy.deepcopy(model), generator(seed, f"noise {restriction} 0"), []
    named, centre = dict(at.named_parameters()), dict(model.named_parameters())
    for rows in minibatches(len(TOKENS), SHORT, seed)[:draws]:
        gradients = own_gradients(at, TOKENS[rows])
        found.append(own_losses(at, TOKENS[rows]).mean().item())
        shifts = torch.randn(sum(named[n][i].numel() for n, i in VARIED[restriction]), generator=noise)
        with torch.no_grad():
            for name, index in VARIED[restriction]:
                part, shifts = shifts[: named[name][index].numel()], shifts[named[name][index].numel() :]
                pull = nbeta * gradients[name][index]
                pull = pull + SHORT.localization * (named[name][index] - centre[name][index])
                named[name][index] += SHORT.lr**0.5 * part.view(pull.shape) - SHORT.lr / 2 * pull
    return found


@pytest.mark.parametrize("make", [gpt2, pythia])
def test_chains_are_those_of_the_models_own_gradients(make) -> None:
    model = make()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    found = engine.sample(model, TOKENS, [*VARIED, "full"], settings=SHORT, seed=3)
    for restriction in VARIED:
        trace = found[restriction]
        assert trace.attrs["path"] == ("fast, fp32" if restriction == "L1H0" else "general: not a single head")
        np.testing.assert_allclose(trace.loss[0][:5], walked(model, restriction, 5, 3, SHORT.nbeta), rtol=2e-5)
    cold = walked(model, "L1H0", 5, 3, 0.0)
    assert np.abs(found["L1H0"].loss[0][:5].values - cold)[1:].max() > 1e-4, "negative control: they feel no loss"
    assert found["full"].attrs["dimension"] == sum(p.numel() for p in model.parameters())
    at_center = [own_losses(model, TOKENS[rows]).mean() for rows in minibatches(len(TOKENS), SHORT, 3)]
    np.testing.assert_allclose(found["full"].center_loss, at_center, rtol=2e-5)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("make", [gpt2, pythia])
def test_health_of_a_head(make) -> None:
    chosen = settings(num_chains=2, num_draws=70, num_burnin=30, batch_size=2)
    trace = engine.sample(make(), TOKENS, ["L1H0"], settings=chosen, seed=0)["L1H0"]
    record = health(trace)
    assert abs(float(record.virial) - 1) < 4 * float(record.virial_se)
    rotary = make is not gpt2
    assert bool(np.isnan(record.key_bias)) == rotary  # queries and keys turn with their positions: b_K matters there
    assert trace.attrs["key_biases"] == (0 if rotary else 6)
    assert float(record.value) == pytest.approx(float(learning_coefficient(trace).value))
    off = trace.assign(virial=trace.virial + 0.2 * trace.attrs["dimension"])
    assert abs(float(health(off).virial) - 1) > 4 * float(health(off).virial_se), "negative control"


def test_the_fast_path_is_refused() -> None:
    with pytest.raises(ValueError, match="L0H0 cannot take the fast path: scores that are not scaled"):
        engine.sample(gpt2(use_attn_scale=False), TOKENS, ["L0H0"], settings=SHORT, seed=0, path="fast")


@pytest.mark.slow
@every_model
@pytest.mark.parametrize("loss", [losses.next_token(), losses.kl_to(gpt2(7))], ids=["next token", "KL"])
def test_paths_give_the_same_chains(make, loss: losses.Loss) -> None:
    """The fast one by our functions, the general one by TransformerLens's forward."""
    model, names = make(), ["L0H1", "L1H2"]
    fast, slow, other = (
        engine.sample(model, TOKENS, names, settings=SHORT, seed=seed, loss=loss, path=path)
        for seed, path in ((3, "fast"), (3, "general"), (4, "general"))
    )
    for name in names:
        xr.testing.assert_allclose(fast[name].drop_attrs(), slow[name].drop_attrs(), rtol=1e-3, atol=1e-4)
        assert np.abs(other[name].loss - slow[name].loss).max() > 1e-3, "negative control: other draws"


def test_a_reference_of_another_kind() -> None:
    loss = losses.kl_to(gpt2(7))
    trace = engine.sample(pythia(), TOKENS, ["L0H1"], settings=SHORT, seed=0, loss=loss)["L0H1"]
    rows = TOKENS[minibatches(len(TOKENS), SHORT, 0)[0]]
    with torch.no_grad():
        truth, model = (make(rows)[:, :-1].log_softmax(-1) for make in (gpt2(7), pythia()))
    divergence = (truth.exp() * (truth - model)).sum(-1).mean()
    backwards = (model.exp() * (model - truth)).sum(-1).mean()
    assert trace.center_loss[0] == pytest.approx(divergence.item(), rel=1e-4)
    assert trace.center_loss[0] != pytest.approx(backwards.item(), rel=1e-2)


def test_calibration_sweeps_any_model() -> None:
    model, base = pythia(), settings(num_chains=1, num_draws=40, num_burnin=20, batch_size=2)

    def sample(one):  # type: ignore[no-untyped-def]
        return engine.sample(model, TOKENS[:, :6], ["L1H2"], settings=one, seed=0)["L1H2"]

    swept = calibrate.sweep(sample, calibrate.grid(base, [1e-3], [200.0], [30.0]))
    assert swept.sizes == {"lr": 1, "localization": 1, "nbeta": 2}
    assert calibrate.recommend(swept, base).settings.nbeta == 30.0
    control = swept.control.sel(nbeta=30.0).item()
    assert control == pytest.approx(30 * swept.rise.sel(nbeta=0.0).item())
    assert control != pytest.approx(swept.value.sel(nbeta=30.0).item(), rel=1e-3)


@every_model
def test_curvatures(make) -> None:
    model, names = make(), ["L1H0", "embed", "blocks.0.mlp.W_in"]
    found = fisher_trace(model, TOKENS, names, seed=0, labels="data")
    by_row = [own_gradients(model, row[None]) for row in TOKENS]
    for restriction in names:
        own = [sum(g[name][index].square().sum() for name, index in VARIED[restriction]) for g in by_row]
        assert found[restriction].value == pytest.approx(11 * np.mean(own), rel=1e-4)
        assert found[restriction].value != pytest.approx(11 * np.median(own), rel=1e-3)
    named = dict(model.named_parameters())
    restrictions = [parse(text, named, model.cfg) for text in names]
    draws, groups = generator(4, "Hessian probes"), []
    for row in TOKENS.split(1):
        probe = random_signs(named, restrictions, draws)
        sides = []
        for step in (1e-4, -1e-4):
            moved = copy.deepcopy(model).double()
            moved.cfg.dtype = torch.float64
            for name, parameter in moved.named_parameters():
                if name in parameters(restrictions):
                    parameter.data += step * probe[name]
            sides.append(own_gradients(moved, row))
        product = {name: probe[name] * (sides[0][name] - sides[1][name]) / 2e-4 for name in probe}
        groups.append([sum(product[n][i].sum().item() for n, i in VARIED[text]) for text in names])
    traces = hessian_trace(model, TOKENS, names, seed=4)
    for number, text in enumerate(names):
        assert traces[text].value == pytest.approx(np.mean(groups, 0)[number], rel=1e-3, abs=1e-4)
        assert traces[text].value != pytest.approx(found[text].value, rel=1e-2), "negative control"


def put(index: int, value: torch.Tensor | float) -> Callable[..., torch.Tensor]:
    """A hook of TransformerLens's that sets one head's z."""

    def hook(z, hook):  # type: ignore[no-untyped-def]
        z[:, :, index] = value
        return z

    return hook


@every_model
@pytest.mark.parametrize("head", [(0, 1), (1, 2)])
def test_heads_are_removed_as_by_hand(make, head) -> None:
    model = make()
    index, name = head[1], f"blocks.{head[0]}.attn.hook_z"
    z = {
        text: model.run_with_cache(tokens)[1][name][:, :, index]
        for text, tokens in (("own", TOKENS), ("other", OTHERS))
    }
    ways = {
        "zero": (heads.zero([head]), 0.0),
        "mean": (heads.mean(model, [head], OTHERS), z["other"].mean((0, 1))),
        "mean by position": (heads.mean(model, [head], OTHERS, by_position=True), z["other"].mean(0)),
        "resample": (heads.resample(model, [head], OTHERS), z["other"]),
    }
    clean = own_losses(model)
    torch.testing.assert_close(effects.token_losses(model, TOKENS), clean)
    for interventions, value in ways.values():
        expected = own_losses(model, hooks=[(name, put(index, value))])
        torch.testing.assert_close(effects.token_losses(model, TOKENS, interventions), expected)
        torch.testing.assert_close(effects.token_effects(model, TOKENS, interventions), expected - clean)
        wrong = own_losses(model, hooks=[(name, put((index + 1) % 3, value))])
        assert (expected - wrong).abs().max() > 1e-2, "negative control: another head"
    same = effects.token_effects(model, TOKENS, heads.replace({head: z["own"]}))
    assert torch.equal(same, torch.zeros_like(same))


def cut_by_hand(model: Model, path: Path, layer_norm: str) -> torch.Tensor:
    """Losses with a path from layer 0 into layer 1 cut: the target's input is computed from a changed stream."""
    (_, s), (_, t), via = path
    _, cache = model.run_with_cache(TOKENS)
    block, stream = model.blocks[1], cache["resid_pre", 1]
    less = stream - cache["z", 0][:, :, s] @ model.blocks[0].attn.W_O[s]

    def norm(x: torch.Tensor, scaled_as: torch.Tensor) -> torch.Tensor:
        scale = scaled_as.var(-1, unbiased=False, keepdim=True).add(model.cfg.eps).sqrt()
        normed = (x - x.mean(-1, keepdim=True)) / scale
        return normed * block.ln1.w + block.ln1.b if model.cfg.normalization_type == "LN" else normed

    read = norm(less, stream if layer_norm == "freeze" else less)
    attn = block.attn
    projected = read @ getattr(attn, f"W_{via.upper()}")[t] + getattr(attn, f"b_{via.upper()}")[t]

    def hook(value, hook):  # type: ignore[no-untyped-def]
        value[:, :, t] = projected
        return value

    return own_losses(model, hooks=[(f"blocks.1.attn.hook_{via}", hook)])


@every_model
@pytest.mark.parametrize("layer_norm", ["recompute", "freeze"])
@pytest.mark.parametrize("text", ["L0H1->L1H2.q", "L0H1->L1H2.k", "L0H0->L1H0.v"])
def test_paths_are_cut_as_by_hand(make, text, layer_norm) -> None:
    model, path = make(), parse_path(text)
    expected = cut_by_hand(model, path, layer_norm)
    found = effects.token_losses(model, TOKENS, cut(model, [path], layer_norm=layer_norm))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    wrong = cut_by_hand(model, path._replace(source=(0, 2)), layer_norm)
    assert (expected - wrong).abs().max() > 1e-2, "negative control: another source"
    assert (expected - own_losses(model)).abs().max() > 1e-2


@every_model
def test_paths_to_the_output_and_from_the_embedding(make) -> None:
    model = make()
    _, cache = model.run_with_cache(TOKENS)
    final = cache["resid_post", 1] - cache["z", 0][:, :, 1] @ model.blocks[0].attn.W_O[1]
    with torch.no_grad():
        logits = model.unembed(model.ln_final(final))
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten(), reduction="none").view(6, 11)
    found = effects.token_losses(model, TOKENS, cut(model, [parse_path("L0H1->output")]))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    removed = effects.token_losses(model, TOKENS, heads.zero([(0, 1)]))
    assert (found - removed).abs().max() > 1e-2, "negative control: the whole head"
    every = [parse_path(f"embed->L0H1.{via}") for via in "qkv"]
    blind = effects.token_effects(model, TOKENS, cut(model, every))
    assert blind.abs().max() > 1e-2


@every_model
def test_path_patching(make) -> None:
    model, path = make(), parse_path("L0H1->L1H2.v")

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1, 3] - logits[:, -1, 4]

    found = patching.path_patching(model, TOKENS, OTHERS, [[path], []], metric)
    with torch.no_grad():
        clean, corrupted = metric(model(TOKENS)), metric(model(OTHERS))
    torch.testing.assert_close(found.clean, clean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.corrupted, corrupted, rtol=1e-4, atol=1e-4)
    assert found.effect[0].abs().max() > 1e-3
    torch.testing.assert_close(found.effect[1], torch.zeros(6))  # negative control: no path


def weights_of(model: Model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@every_model
def test_composition_is_that_of_the_full_matrices(make) -> None:
    model = make()
    found = composition.composition(weights_of(model), model.cfg)
    centre = torch.eye(24) - 1 / 24
    fold = [centre @ torch.diag(block.ln1.w) if hasattr(block.ln1, "w") else centre for block in model.blocks]
    for s in range(3):
        ov = fold[0] @ model.W_V[0, s] @ model.W_O[0, s]
        for t in range(3):
            qk = fold[1] @ model.W_Q[1, t] @ model.W_K[1, t].T @ fold[1].T
            reads = (qk, qk.T, fold[1] @ model.W_V[1, t] @ model.W_O[1, t])
            own = torch.stack([(ov @ read).norm() / (ov.norm() * read.norm()) for read in reads])
            torch.testing.assert_close(found[0, s, 1, t], own, rtol=1e-4, atol=1e-5)
            raw = composition.composition(weights_of(model), model.cfg, "raw")[0, s, 1, t]
            assert (raw - own).abs().max() > 1e-4, "negative control: without the norm"
    with pytest.raises(ValueError, match="only a shortformer's"):
        composition.position_composition(weights_of(model), model.cfg)


@every_model
def test_attention_scores(make) -> None:
    model = make()
    rows = scores.repeated(torch.randperm(50, generator=torch.Generator().manual_seed(0))[:6][None])
    patterns = model.run_with_cache(rows)[1]["pattern", 1]
    own = torch.stack([patterns[:, :, i, i - 1] for i in range(1, 12)]).mean(0)
    torch.testing.assert_close(scores.previous_token(patterns), own)
    matched = torch.stack([patterns[:, :, i, i - 5] for i in range(6, 12)]).mean(0)
    torch.testing.assert_close(scores.prefix_matching(patterns, 6), matched)
    assert (own - matched).abs().max() > 1e-3, "negative control"


def test_weights_in_other_gauges() -> None:
    model = gpt2()
    moved = gauge.balanced(model, TOKENS, 1)
    torch.testing.assert_close(own_losses(moved), own_losses(model), rtol=1e-3, atol=1e-3)
    assert (moved.W_Q - model.W_Q).abs().max() > 1e-2
    with pytest.raises(ValueError, match="rotary"):
        gauge.balanced(pythia(), TOKENS, 1)


TASK = tasks.Task("test", TOKENS, OTHERS, TOKENS[:, 0], TOKENS[:, 1])


@pytest.mark.parametrize("make", [make_model, *MODELS.values()], ids=["attention only", *MODELS])
def test_discovery_by_functions_is_that_by_hooks(make) -> None:
    model = make()
    paths = discover.candidates(model.cfg)
    fast = discover.exact(forward.weights_of(model), model.cfg, TASK, paths)
    hooked_ones = discover_hooks.exact(model, TASK, paths)
    assert hooked_ones.paths == fast.paths
    for name in ("effect", "clean", "corrupted"):
        np.testing.assert_allclose(getattr(hooked_ones, name), getattr(fast, name), atol=2e-5)
    np.testing.assert_allclose(hooked_ones.p, fast.p, atol=1e-3)
    assert np.abs(fast.effect).max() > 0.1
    assert np.abs(fast.effect[1:] - fast.effect[:-1]).max() > 0.05, "negative control: another path"


@every_model
def test_attributions_are_gradients_of_the_models_own(make) -> None:
    """EAP of every path, by TransformerLens's split inputs and its backward pass."""
    model = make()
    paths = discover.candidates(model.cfg)
    found = discover.attribution(forward.weights_of(model), model.cfg, TASK, paths)
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)
    gradients: dict[str, torch.Tensor] = {}

    def keep(gradient: torch.Tensor, hook: object) -> None:
        gradients[hook.name] = gradient.clone()  # type: ignore[attr-defined]

    names = [f"blocks.{layer}.hook_{via}" for layer in range(2) for via in ("q_input", "k_input", "v_input", "mlp_in")]
    model.requires_grad_(True)
    with model.hooks(bwd_hooks=[(name, keep) for name in [*names, "blocks.1.hook_resid_post"]]):
        tasks.logit_difference(TASK, model(TASK.clean)[:, -1:]).sum().backward()
    with torch.no_grad():
        clean, corrupted = (model.run_with_cache(tokens)[1] for tokens in (TASK.clean, TASK.corrupted))
    for number, path in enumerate(paths):
        if path.source == "embed":
            change = corrupted["resid_pre", 0] - clean["resid_pre", 0]
        elif isinstance(path.source, str):
            change = corrupted["mlp_out", int(path.source[3:])] - clean["mlp_out", int(path.source[3:])]
        else:
            layer, head = path.source
            change = (corrupted["z", layer] - clean["z", layer])[:, :, head] @ model.W_O[layer, head]
        if path.target == "output":
            gradient = gradients["blocks.1.hook_resid_post"]
        elif isinstance(path.target, str):
            gradient = gradients[f"blocks.{path.target[3:]}.hook_mlp_in"]
        else:
            gradient = gradients[f"blocks.{path.target[0]}.hook_{path.via}_input"][:, :, path.target[1]]
        own = (gradient * change).sum((1, 2)).detach().numpy()
        np.testing.assert_allclose(found.effect[number], own, rtol=1e-3, atol=1e-4)
    assert np.abs(found.effect[1:] - found.effect[:-1]).max() > 0.05, "negative control: another path"


@every_model
def test_copying(make) -> None:
    model, row = make(), torch.arange(3, 15)[None]
    found = copying.copying(forward.weights_of(model), model.cfg, row)
    with torch.no_grad():
        _, cache = model.run_with_cache(row)
    gain = model.ln_final.w if hasattr(model.ln_final, "w") else torch.ones(24)
    unembedding = gain[:, None] * model.W_U
    unembedding = unembedding - unembedding.mean(0)
    unembedding = unembedding - unembedding.mean(1, keepdim=True)
    raised = (cache["z", 1][0, :, 2] @ model.W_O[1, 2] @ unembedding)[:, row[0]].clamp(min=0)
    attended = (cache["pattern", 1][0, 2] * raised).sum()
    assert found[0, 1, 2] == pytest.approx((4 * attended / (attended + raised.sum()) - 1).item(), abs=1e-5)
    assert found[0, 1, 1] != pytest.approx(found[0, 1, 2].item(), abs=1e-3), "negative control: another head"


@every_model
def test_gains_of_contexts(make) -> None:
    model = make()
    pattern = multigrams.Patterns(np.array([[3, 1, 0, 0]]), np.array([[7, 9, 0, 0]]), np.array([4]))
    found = log_probabilities(forward.weights_of(model), model.cfg, TOKENS, pattern)
    text = TOKENS.clone()
    text[:, -3], text[:, -1] = 7, 9
    with torch.no_grad():
        own, other = (model(rows)[:, -1].log_softmax(-1)[:, 4].mean().item() for rows in (text, TOKENS))
    assert found.item() == pytest.approx(own, abs=1e-4)
    assert abs(own - other) > 1e-2, "negative control: without the context"


@every_model
def test_paths_are_found_in_models_with_mlps(make) -> None:
    """One path into keys and one to the output, recomputed from the residual stream by hand."""
    model = make()
    paths = discover.candidates(model.cfg)
    found = discover_hooks.exact(model, TASK, paths)
    with torch.no_grad():
        clean, cache = model.run_with_cache(TASK.clean)
        _, other = model.run_with_cache(TASK.corrupted)
        lost = (cache["z", 0] - other["z", 0])[:, :, 1] @ model.W_O[0, 1]
        read = model.blocks[1].ln1(cache["resid_pre", 1] - lost) @ model.W_K[1, 2] + model.b_K[1, 2]

        def keys(key: torch.Tensor, hook: object) -> torch.Tensor:
            key[:, :, 2] = read
            return key

        by_keys = model.run_with_hooks(TASK.clean, fwd_hooks=[("blocks.1.attn.hook_k", keys)])
        to_output = model.unembed(model.ln_final(cache["resid_post", 1] - lost))
    for name, logits in (("L0H1->L1H2.k", by_keys), ("L0H1->output", to_output)):
        number, change = paths.index(parse_path(name)), (logits - clean)[:, -1]
        expected = tasks.logit_difference(TASK, change[:, None])
        np.testing.assert_allclose(found.effect[number], expected.numpy(), atol=1e-4)
        assert np.abs(found.effect[number + 1] - expected.numpy()).max() > 1e-3  # negative control
    whole = graph.circuit_graph(model.cfg, found, discover.significant(found.p))
    assert sum(1 for _ in graph.records(whole)) == len(paths)
    with pytest.raises(ValueError, match="take paths from heads, MLPs or embed"):
        discover_hooks.exact(model, TASK, [Path("b_O", (1, 0), "q")])


def shared_heads(**overrides: object) -> Model:
    return gpt2(
        **({"n_key_value_heads": 1, "normalization_type": "RMS", "gated_mlp": True, "act_fn": "silu"} | overrides)
    )


def test_heads_that_share_keys_and_values() -> None:
    model = shared_heads()
    expected = own_losses(model, hooks=[("blocks.1.attn.hook_z", put(2, 0.0))])
    torch.testing.assert_close(effects.token_losses(model, TOKENS, heads.zero([(1, 2)])), expected)
    trace = engine.sample(model, TOKENS, ["L1", "blocks.1.attn.W_Q"], settings=SHORT, seed=0)["L1"]
    assert trace.attrs["dimension"] == 2 * (24 * 18 + 24 * 6) + 18 + 6 + 6
    for call in (
        lambda: engine.sample(model, TOKENS, ["L1H0"], settings=SHORT, seed=0),
        lambda: composition.composition(weights_of(model), model.cfg),
        lambda: cut(model, [parse_path("L0H1->L1H2.k")]),
    ):
        with pytest.raises(ValueError, match="share keys and values"):
            call()
    cut(model, [parse_path("L0H1->L1H2.q")])


def test_composition_leaves_the_mean_to_an_rms_norm() -> None:
    model = gpt2(normalization_type="RMS")
    found = composition.composition(weights_of(model), model.cfg)[0, 1, 1, 2, 2]
    ov, gain = torch.diag(model.blocks[0].ln1.w) @ model.W_V[0, 1] @ model.W_O[0, 1], torch.diag(model.blocks[1].ln1.w)
    read = gain @ model.W_V[1, 2] @ model.W_O[1, 2]
    assert found == pytest.approx(((ov @ read).norm() / (ov.norm() * read.norm())).item(), rel=1e-4)
    centred = (torch.eye(24) - 1 / 24) @ read
    assert found != pytest.approx(((ov @ centred).norm() / (ov.norm() * centred.norm())).item(), rel=1e-4)
