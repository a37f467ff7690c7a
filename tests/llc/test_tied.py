"""Parameters with two places: found by their memory, counted once, moved in both, in losses, gradients and traces."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ablations import forward
from ablations.not_measurable import NotMeasurable
from llc import engine, gauge, losses, restrict, tied
from llc.fisher_trace import squared_gradients
from llc.hessian_trace import probed
from tests.conftest import GPT2, make_model
from tests.llc.conftest import SHORT

pytestmark = pytest.mark.both_majors

TOKENS = torch.randint(5, (6, 8), generator=torch.Generator().manual_seed(2))
SMALL = {"d_vocab": 5, "d_model": 8, "d_head": 2, "n_heads": 2}
BOTH = tied.Tie("unembed.W_U", "embed.W_E", transposed=True)


def tied_model(**overrides: object):
    """The unembedding is the embedding transposed, as in GPT-2."""
    model = make_model(1, **(SMALL | overrides))
    model.unembed.W_U.data = model.embed.W_E.data.T
    return model


def shared_model(**overrides: object):
    """One block for two layers."""
    model = make_model(1, **(SMALL | overrides))
    model.blocks[1] = model.blocks[0]
    return model


MODELS = {
    "tied": (tied_model, "embed"),
    "tied, a head": (tied_model, "L0H1"),
    "tied, with MLPs": (lambda: tied_model(**GPT2), "full"),
    "shared": (shared_model, "L1H0"),
    "shared, with MLPs": (lambda: shared_model(**GPT2), "L1"),
    "shared, all": (shared_model, "full"),
}


def selected(model, text: str) -> restrict.Restriction:
    return restrict.parse(text, forward.parameters_of(model), model.cfg)


def moved_in_place(make, restriction: restrict.Restriction, flat: torch.Tensor) -> torch.Tensor:
    """Logits of the model with its parameters themselves changed, so that what is one stays one."""
    changed, values = make(), flat.split(restriction.sizes)
    with torch.no_grad():
        for (name, head), shape, part in zip(restriction.parts, restriction.shapes, values, strict=True):
            own = dict(changed.named_parameters())[name]
            (own if head is None else own[head]).copy_(part.view(shape))
        return changed(TOKENS)[:, :-1]


@pytest.mark.parametrize("make", [tied_model, shared_model])
def test_full_has_each_parameter_once(make) -> None:
    model = make()
    distinct = {parameter.data_ptr(): parameter.numel() for parameter in model.parameters()}
    assert selected(model, "full").dimension == sum(distinct.values())
    untied = make_model(1, **SMALL)
    assert selected(untied, "full").dimension > sum(distinct.values())
    assert selected(untied, "full").ties == ()


@pytest.mark.parametrize("name", MODELS)
def test_both_places_move(name: str) -> None:
    make, text = MODELS[name]
    model = make()
    weights, restriction, predict = forward.parameters_of(model), selected(model, text), losses.predictor(model)
    before = {key: value.clone() for key, value in weights.items()}
    flat = restriction.flat(weights)
    flat = flat + 0.3 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    expected = moved_in_place(make, restriction, flat)
    with torch.no_grad():
        found = predict(restriction.put(weights, flat), TOKENS)
        alone = predict(restrict.Restriction(text, restriction.parts, restriction.shapes).put(weights, flat), TOKENS)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    # negative control: where the weights are told by two names, the other one would stay
    assert ((alone - expected).abs().max() > 1e-2) == (name not in ("tied, a head", "shared, with MLPs"))
    assert all(torch.equal(value, before[key]) for key, value in forward.parameters_of(model).items())
    assert all(isinstance(parameter, torch.nn.Parameter) for parameter in model.parameters())


@pytest.mark.parametrize("name", ["tied", "shared"])
def test_traces_of_curvature_are_those_of_what_is_one(name: str) -> None:
    make, text = MODELS[name]
    model = make()
    weights, restriction = forward.parameters_of(model), selected(model, text)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        predictions = tied.run(model, restriction.put(weights, flat), TOKENS[:1])[:, :-1]
        return F.cross_entropy(predictions.flatten(0, 1), TOKENS[:1, 1:].flatten())

    flat = restriction.flat(weights)
    step, along = 1e-2, torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))

    def moved(sign: float) -> float:
        logits = moved_in_place(make, restriction, flat + sign * step * along)[:1]
        return float(F.cross_entropy(logits.flatten(0, 1), TOKENS[:1, 1:].flatten()))

    gradient = torch.autograd.functional.jacobian(loss, flat)
    assert float(gradient @ along) == pytest.approx((moved(1) - moved(-1)) / (2 * step), rel=0.02, abs=1e-3)
    hessian = torch.autograd.functional.hessian(loss, flat)
    zeros = {key: torch.zeros_like(value) for key, value in weights.items() if key in dict(restriction.parts)}
    units = torch.eye(restriction.dimension)
    found = sum(probed(model, TOKENS[:1], [restriction], restriction.put(zeros, unit))[0] for unit in units)
    assert found == pytest.approx(float(hessian.trace()), rel=1e-3)
    fisher = squared_gradients(model, TOKENS[:1], [restriction], None)[0, 0]
    assert fisher == pytest.approx(7 * float(gradient.square().sum()), rel=1e-3)
    untied = restrict.Restriction(text, restriction.parts, restriction.shapes)
    apart = untied.put(weights, flat + along)
    assert not all(torch.equal(tie.of(apart[tie.owner]), apart[tie.name]) for tie in restriction.ties)


def test_chains_of_a_shared_head_say_why_they_are_slow() -> None:
    model = shared_model()
    traces = engine.sample(model, TOKENS, ["L0H0", "full"], settings=SHORT, seed=0)
    assert traces["L0H0"].attrs["path"].startswith("general: its parameters are those of another part")
    assert np.isfinite(traces["full"].loss).all()
    with pytest.raises(ValueError, match="L1H0 cannot take the fast path: its parameters are those of another"):
        engine.sample(model, TOKENS, ["L1H0"], settings=SHORT, seed=0, path="fast")
    free = engine.sample(tied_model(), TOKENS, ["L0H0"], settings=SHORT, seed=0)["L0H0"]
    assert free.attrs["path"] == "fast, fp32"  # a head that has one place, in a model whose embedding has two


def test_pure_functions_run_a_model_with_a_shared_block() -> None:
    model = shared_model()
    with torch.no_grad():
        torch.testing.assert_close(forward.logits(forward.weights_of(model), model.cfg, TOKENS), model(TOKENS))


def test_the_two_names_of_one_head() -> None:
    model = shared_model()
    assert selected(model, "L1H0").parts == selected(model, "L0H0").parts
    assert "blocks.0.attn.W_Q = blocks.1.attn.W_Q[0]" in str(selected(model, "L1H0"))
    assert "embed.W_E = unembed.W_U transposed" in str(selected(tied_model(), "unembed"))
    for text in ("L0H0+L1H0", "L0+L1H1"):
        with pytest.raises(ValueError, match="selects a parameter twice"):
            selected(model, text)
    with pytest.raises(ValueError, match=r"twice: name each part once; unembed.W_U is embed.W_E"):
        selected(tied_model(), "embed+unembed")
    for text in ("L1", "L1H0"):
        with pytest.raises(NotMeasurable, match=r"none of layer 1.*parameters_of"):
            restrict.parse(text, dict(model.named_parameters()), model.cfg)


def test_what_is_one_and_what_only_lies_in_one_storage() -> None:
    buffer = torch.arange(24.0)
    rows = buffer.view(4, 6)
    assert tied.ties({"a": buffer[:12], "b": buffer[12:]}) == ()
    assert tied.ties({"a": rows[:, ::2], "b": rows[:, 1::2]}) == ()  # between each other
    assert tied.ties({"a": rows, "b": rows.clone()}) == ()
    assert tied.ties({"a": rows, "b": rows, "c": rows.T}) == (tied.Tie("b", "a", False), tied.Tie("c", "a", True))
    assert tied.ties(forward.parameters_of(tied_model())) == (BOTH,)
    for other in (rows[:2], buffer, rows.view(6, 4)):
        with pytest.raises(NotMeasurable, match=r"b and a share a part of their memory.*clone"):
            tied.ties({"a": rows, "b": other})


def test_gauges() -> None:
    model = tied_model()
    for changed, kept in ((gauge.balanced(model, TOKENS, 1), ()), (gauge.random_gauge(model, 0), (BOTH,))):
        assert tied.ties(forward.parameters_of(changed)) == kept  # the embedding is rescaled, the unembedding not
        torch.testing.assert_close(changed(TOKENS), model(TOKENS), atol=1e-4, rtol=1e-4)
    one_matrix = make_model(1, **SMALL)
    one_matrix.blocks[1].attn.W_Q.data = one_matrix.blocks[0].attn.W_Q.data
    for refused in (shared_model(), one_matrix):
        with pytest.raises(NotMeasurable, match="in a model with attention weights that two parts share"):
            gauge.random_gauge(refused, 0)
