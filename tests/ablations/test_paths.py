"""Cuts are exact: equal to recomputing the target by hand, and to the hooks; other heads are untouched."""

import itertools

import pytest
import torch

from ablations import effects, forward, heads, rerun
from ablations.changes import Change, check_change
from ablations.paths import OUTPUT, VIAS, Path, all_paths, check_path, cut, parse_path, path_name, sources_of
from tests.conftest import hooked_only, make_model

pytestmark = pytest.mark.both_majors

TOKENS = torch.randint(50, (3, 11), generator=torch.Generator().manual_seed(5))


def by_hand(model, path: Path, value: torch.Tensor, layer_norm: str = "recompute") -> torch.Tensor:
    """Residual after layer 1 of a two-layer model with one path cut, from the formulas alone."""
    _, cache = model.run_with_cache(TOKENS)
    (_, s), (_, t), via = path
    block = model.blocks[1].attn
    residual = cache["resid_pre", 1]
    lost = (cache["z", 0][:, :, s] - value) @ model.blocks[0].attn.W_O[s]

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = residual - residual.mean(-1, keepdim=True) if layer_norm == "freeze" else centred
        scale = (scaled.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
        return centred / scale * model.blocks[1].ln1.w + model.blocks[1].ln1.b

    place = model.W_pos[: TOKENS.shape[1]]
    read = {v: norm(residual - lost if v == via else residual) + (0 if v == "v" else place) for v in VIAS}
    q, k, v = (read[n] @ getattr(block, f"W_{n.upper()}")[t] + getattr(block, f"b_{n.upper()}")[t] for n in VIAS)
    scores = q @ k.transpose(1, 2) / model.cfg.d_head**0.5
    scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), float("-inf"))
    z = scores.softmax(-1) @ v
    return cache["resid_post", 1] + (z - cache["z", 1][:, :, t]) @ block.W_O[t]


def logits_of(model, residual: torch.Tensor) -> torch.Tensor:
    return forward.token_losses(forward.weights_of(model), model.cfg, residual, TOKENS)


def prepared(model, values=None, layer_norm: str = "recompute") -> rerun.Run:
    weights = forward.weights_of(model)
    clean = rerun.clean_run(weights, model.cfg, TOKENS)
    return rerun.prepare(weights, model.cfg, clean, values or {}, layer_norm)


@pytest.mark.parametrize("layer_norm", ["recompute", "freeze"])
@pytest.mark.parametrize("via", VIAS)
def test_a_cut_is_exact_recomputation(via: str, layer_norm: str) -> None:
    model = make_model(2, torch.float64)
    value = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    path = Path((0, 1), (1, 2), via)
    expected = by_hand(model, path, value, layer_norm).detach()
    residual = rerun.final_residual(prepared(model, {(0, 1): value}, layer_norm), Change(cuts=(path,)))
    torch.testing.assert_close(residual, expected, rtol=1e-10, atol=1e-10)
    hooked = effects.token_losses(model, TOKENS, cut(model, [path], {(0, 1): value}, layer_norm=layer_norm))
    torch.testing.assert_close(hooked, logits_of(model, expected), rtol=1e-10, atol=1e-10)
    for other in VIAS:  # negative control: no other via, and not the other treatment of the norm, gives the same
        if other != via:
            wrong = by_hand(model, Path((0, 1), (1, 2), other), value, layer_norm)
            assert (wrong - expected).abs().max() > 1e-4
    unlike = by_hand(model, path, value, "freeze" if layer_norm == "recompute" else "recompute")
    assert (unlike - expected).abs().max() > 1e-5


@pytest.mark.parametrize("layer_norm", ["recompute", "freeze"])
@pytest.mark.parametrize("n_layers", [2, 3])
@pytest.mark.parametrize("positions", ["shortformer", "standard"])
@pytest.mark.parametrize("normalization", ["LN", "LNPre", None])
def test_sets_of_cuts_and_heads_equal_the_hooks(n_layers, positions, normalization, layer_norm) -> None:
    kind = {"normalization_type": normalization, "positional_embedding_type": positions}
    model = make_model(4, torch.float64, n_layers=n_layers, **kind)
    sources = [(0, 0), (0, 2), (1, 1)]
    means = {**heads.mean_z(model, sources, TOKENS), "embed": model.W_E[7].detach()}
    last = n_layers - 1
    cuts = [
        Path((0, 0), (last, 1), "k"),
        Path((0, 2), (last, 1), "k"),
        Path((0, 0), (last, 0), "v"),
        Path((0, 2), (1, 2), "q"),
        Path("embed", (last, 2), "v"),
        Path("b_O", (last, 2), "q"),
        Path((1, 1), OUTPUT),
        Path("embed", OUTPUT),
    ]
    if n_layers == 3:
        cuts.append(Path((1, 1), (2, 1), "q"))
    if positions == "standard":
        cuts.append(Path("pos_embed", (1, 0), "k"))
    run = prepared(model, means, layer_norm)
    stream, scaled_as = rerun.final_streams(run, Change(cuts=tuple(cuts)))
    weights = forward.weights_of(model)
    normalized = forward.normalize_as(weights, model.cfg, "ln_final", stream, like=scaled_as)
    ours = normalized @ weights["unembed.W_U"] + weights["unembed.b_U"]
    hooked = effects.run(model, TOKENS, cut(model, cuts, means, layer_norm))
    torch.testing.assert_close(ours, hooked, rtol=1e-10, atol=1e-10)
    ablated = logits_of(model, rerun.final_residual(run, Change(heads=((0, 0),))))
    hooked = effects.token_losses(model, TOKENS, heads.replace({(0, 0): means[0, 0]}))
    torch.testing.assert_close(ablated, hooked, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("positions", ["shortformer", "standard"])
def test_a_residual_stream_is_the_sum_of_its_sources(positions: str) -> None:
    """Cutting all of it from one head's input feeds ln1 the zero vector: ln1.b, and a shortformer's positions, stay."""
    model = make_model(3, torch.float64, n_layers=3, positional_embedding_type=positions)
    target, block = (2, 1), model.blocks[2]
    everything = [Path(source, target, via) for source in sources_of(target, model.cfg) for via in VIAS]
    seen: dict[str, torch.Tensor] = {}

    def watch(activation, hook):
        seen[hook.name] = activation[:, :, 1].clone()

    watched = [(f"blocks.2.attn.hook_{via}", watch) for via in VIAS]
    reads = [(f"blocks.2.hook_{via}_input", watch) for via in VIAS]
    effects.token_losses(model, TOKENS, [*cut(model, everything), *reads, *watched])
    place = model.W_pos[: TOKENS.shape[1]] if positions == "shortformer" else 0
    for via in VIAS:
        assert seen[f"blocks.2.hook_{via}_input"].abs().max() < 1e-10
        weight, bias = (getattr(block.attn, f"{name}_{via.upper()}")[1] for name in "Wb")
        expected = (block.ln1.b + (place if via != "v" else 0)) @ weight + bias
        torch.testing.assert_close(
            seen[f"blocks.2.attn.hook_{via}"], expected.expand(3, 11, -1), rtol=1e-10, atol=1e-10
        )
    to_output = [Path(source, OUTPUT) for source in sources_of(OUTPUT, model.cfg)]
    assert rerun.final_residual(prepared(model), Change(cuts=tuple(to_output))).abs().max() < 1e-10
    left = rerun.final_residual(prepared(model), Change(cuts=tuple(to_output[1:])))  # negative control: one is left
    assert left.abs().max() > 0.1


def test_a_head_replaced_by_itself_changes_nothing_bit_for_bit(model) -> None:
    z = heads.head_z(model, [(0, 1)], TOKENS)
    assert (effects.token_effects(model, TOKENS, heads.replace(z)) == 0).all()
    own = effects.token_effects(model, TOKENS, cut(model, [Path((0, 1), (1, 0), "k")], z))
    assert own.abs().max() < 2e-6  # z is of a run under other flags, which round differently
    assert (effects.token_effects(model, TOKENS, heads.zero([(0, 1)])) != 0).any()


def test_a_cut_leaves_other_heads_alone(model) -> None:
    seen: dict[str, list[torch.Tensor]] = {}

    def watch(activation, hook):
        seen.setdefault(hook.name, []).append(activation.clone())

    watched = [(f"blocks.{layer}.attn.hook_{v}", watch) for layer, v in itertools.product((0, 1), VIAS)]
    path = Path((0, 1), (1, 2), "k")
    effects.token_losses(model, TOKENS, [*cut(model, [path], {(0, 1): torch.full((6,), 9.0)}), *watched])
    effects.token_losses(model, TOKENS, [*cut(model, [path], heads.head_z(model, [(0, 1)], TOKENS)), *watched])
    for name, (cut_run, clean_run) in seen.items():
        same = [torch.equal(cut_run[:, :, head], clean_run[:, :, head]) for head in range(3)]
        assert same == [True, True, name != "blocks.1.attn.hook_k"], name


def test_zero_keeps_the_bias_of_the_layer(model) -> None:
    everything = heads.zero([(0, head) for head in range(3)])
    kept: list[torch.Tensor] = []
    watch = ("blocks.0.hook_attn_out", lambda a, hook: kept.append(a.clone()))
    effects.token_losses(model, TOKENS, [*everything, watch])
    torch.testing.assert_close(kept[0], model.b_O[0].expand_as(kept[0]))


@hooked_only
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_before_also_after_an_error(model, fails: bool) -> None:
    calls: list[str] = []
    model.train()
    model.add_hook("blocks.0.hook_resid_pre", lambda a, hook: calls.append(hook.name))
    model.cfg.use_attn_result = True
    _, kept = model.run_with_cache(TOKENS)
    before = {name: value.clone() for name, value in kept.items()}
    weights = {name: value.clone() for name, value in model.named_parameters()}

    def work() -> None:
        interventions = [*cut(model, [Path((0, 1), (1, 2), "k")]), *heads.zero([(0, 0)])]
        unknown = [("blocks.7.hook_z", lambda a, hook: a)] if fails else []
        effects.token_effects(model, TOKENS, interventions + unknown)

    if fails:
        with pytest.raises(ValueError, match=r"no hook blocks\.7"):
            work()
    else:
        work()
    assert (model.training, model.cfg.use_split_qkv_input, model.cfg.use_attn_result) == (True, False, True)
    points = {name: len(point.fwd_hooks) for name, point in model.hook_dict.items() if point.fwd_hooks}
    assert points == {"blocks.0.hook_resid_pre": 1}
    assert all(torch.equal(weights[name], value) for name, value in model.named_parameters())
    assert all(torch.equal(before[name], value) for name, value in kept.items())
    calls.clear()
    model(TOKENS)
    assert len(calls) == 1


@hooked_only
def test_a_hook_that_does_not_fire_raises(model) -> None:
    with pytest.raises(RuntimeError, match="did not fire"):
        effects.token_losses(model, TOKENS, [("blocks.0.attn.hook_result", lambda a, hook: a)])


def test_texts_that_cannot_be_run_are_refused(model) -> None:
    with pytest.raises(ValueError, match="no tokens"):
        effects.token_losses(model, TOKENS[:0])
    with pytest.raises(ValueError, match="do not fit the model's context of 20"):
        effects.token_losses(model, TOKENS.repeat(1, 2))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (Path((1, 0), (1, 1), "k"), "earlier layer"),
        (Path((1, 0), (0, 1), "k"), "earlier layer"),
        (Path((0, 0), (1, 9), "k"), "no head L1H9"),
        (Path((0, 0), (1, 1), "x"), "no input 'x'"),
        (Path((0, 0), (1, 1)), "no input None"),
        (Path((0, 0), OUTPUT, "k"), "no input 'k' of the output"),
        (Path((0, 0), "logits"), "no target 'logits'"),
        (Path("b_O", (0, 1), "k"), "no layer comes before layer 0"),
        (Path("pos_embed", (1, 1), "k"), "no source 'pos_embed'"),  # a shortformer's positions are not in the stream
    ],
)
def test_impossible_paths_are_refused(model, path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cut(model, [path])
    with pytest.raises(ValueError, match=message):
        check_change(Change(cuts=(path,)), model.cfg)


def test_names_of_paths_read_back(model) -> None:
    written = [*all_paths(model.cfg), Path((1, 2), OUTPUT), Path("embed", (1, 0), "q"), Path("b_O", OUTPUT)]
    assert len(written) == 27 + 3
    for path in written:
        assert parse_path(path_name(path)) == check_path(path, model.cfg)
    assert parse_path(" 0:1 -> 1:2.K ") == Path((0, 1), (1, 2), "k")
    for text in ("L0H1", "L0H1->L1H2", "L0H1->output.k", "L0H1->L1.k", "x->L1H2.k", "L0H1-L1H2.k"):
        with pytest.raises(ValueError, match="is not a"):
            parse_path(text)
