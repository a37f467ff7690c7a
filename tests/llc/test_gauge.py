"""Rescaled heads: the same function, balanced weights, the least norm."""

import pytest
import torch

from ablations.models import Model
from ablations.not_measurable import NotMeasurable
from llc import gauge
from tests.conftest import hooked_only, make_model

pytestmark = pytest.mark.both_majors

POSITIONS = ["shortformer", "standard"]
MATRICES = ("W_Q", "W_K", "W_V", "W_O")


def squares(model: Model) -> torch.Tensor:
    """Sum of squared weights (biases apart) of every head [layer, head]."""
    by_layer = [sum(getattr(block.attn, name).square().sum((1, 2)) for name in MATRICES) for block in model.blocks]
    return torch.stack(by_layer).detach()


def text(rows: int = 4) -> torch.Tensor:
    return torch.randint(50, (rows, 16), generator=torch.Generator().manual_seed(1))


def gauges(model: Model) -> list[Model]:
    return [*balanced(model), gauge.random_gauge(model, 0), gauge.random_gauge(model, 1, spread=4.0)]


def balanced(model: Model) -> list[Model]:
    """In the balanced gauge of each layer."""
    return [gauge.balanced(model, text(), layer) for layer in range(model.cfg.n_layers)]


def gram(weight: torch.Tensor) -> torch.Tensor:
    return weight.transpose(1, 2) @ weight


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_the_function_stays(tokens, positions: str, dtype: torch.dtype, tolerance: float) -> None:
    model = make_model(dtype=dtype, positional_embedding_type=positions)
    logits = model(tokens)
    for changed in gauges(model):
        torch.testing.assert_close(changed(tokens), logits, rtol=0, atol=tolerance)
        assert not torch.allclose(changed.W_Q, model.W_Q, atol=1e-2)
    scaled = gauge.random_gauge(model, 0, spread=1.0)
    scaled.blocks[0].attn.W_Q.data *= 2
    assert (scaled(tokens) - logits).abs().max() > 100 * tolerance


def test_the_function_stays_with_mlps(tokens) -> None:
    model = make_model(dtype=torch.float64, attn_only=False, act_fn="gelu", d_mlp=9, n_layers=1)
    for changed in gauges(model):
        torch.testing.assert_close(changed(tokens), model(tokens), rtol=0, atol=1e-10)


def test_singular_values_are_balanced_and_products_kept() -> None:
    model = make_model(dtype=torch.float64, normalization_type="LNPre")
    for layer, found in enumerate(balanced(gauge.random_gauge(model, 0, spread=4.0))):
        before, after = model.blocks[layer].attn, found.blocks[layer].attn
        torch.testing.assert_close(gram(after.W_Q), gram(after.W_K))
        torch.testing.assert_close(gram(after.W_V), gram(after.W_O.transpose(1, 2)))
        assert not torch.allclose(gram(before.W_Q), gram(before.W_K), atol=0.1)
        product = before.W_Q @ before.W_K.transpose(1, 2)  # nothing is folded into it here
        torch.testing.assert_close(after.W_Q @ after.W_K.transpose(1, 2), product)
        # singular values of the product are the squares of those of either factor
        values = torch.linalg.svdvals(after.W_Q).square()
        torch.testing.assert_close(values, torch.linalg.svdvals(product)[:, : model.cfg.d_head])
        other = found.blocks[1 - layer].attn
        torch.testing.assert_close(other.W_Q, gauge.random_gauge(model, 0, spread=4.0).blocks[1 - layer].attn.W_Q)


def test_balancing_twice_is_balancing_once() -> None:
    once = gauge.balanced(make_model(dtype=torch.float64), text(), 1)
    twice = gauge.balanced(once, text(), 1)
    for name, weight in once.state_dict().items():
        torch.testing.assert_close(twice.state_dict()[name], weight, rtol=0, atol=1e-12)


def test_balanced_weights_are_the_least() -> None:
    for layer, least in enumerate(balanced(make_model(dtype=torch.float64))):
        others = [gauge.random_gauge(least, seed, spread) for seed in range(5) for spread in (1.1, 2.0)]
        assert all((squares(other) > squares(least))[layer].all() for other in others)
        # twice the sum of the singular values of both products, which no factors go below
        products = [least.W_Q @ least.W_K.transpose(-1, -2), least.W_V @ least.W_O]
        bound = sum(2 * torch.linalg.svdvals(product).sum(-1) for product in products)
        torch.testing.assert_close(squares(least)[layer], bound[layer])
        assert not torch.allclose(squares(least)[1 - layer], bound[1 - layer], atol=1e-2)


def test_random_gauges_are_numbers_within_the_spread() -> None:
    model = make_model(dtype=torch.float64)
    found = gauge.random_gauge(model, 0, spread=3.0)
    scales = {name: getattr(found, name) / getattr(model, name) for name in MATRICES}
    for name, other in (("W_Q", "W_K"), ("W_V", "W_O")):
        values = scales[name].flatten(2)
        assert torch.allclose(values, values[..., :1].expand_as(values))
        assert torch.allclose(values[..., 0] * scales[other].flatten(2)[..., 0], torch.tensor(1.0).double())
        assert (values.log().abs() < torch.tensor(3.0).log()).all()
        assert values[..., 0].unique().numel() == model.cfg.n_layers * model.cfg.n_heads
    assert torch.equal(gauge.random_gauge(model, 0, spread=3.0).W_Q, found.W_Q)
    assert not torch.equal(gauge.random_gauge(model, 1, spread=3.0).W_Q, found.W_Q)


def test_random_gauges_are_log_uniform() -> None:
    model = make_model(n_heads=500, n_layers=1, d_head=1)
    exponents = (gauge.random_gauge(model, 0).W_Q / model.W_Q).detach().log2()[0, :, 0, 0]
    assert abs(float(exponents.mean())) < 4 * (1 / 3 / 500) ** 0.5
    assert float(exponents.var()) == pytest.approx(1 / 3, rel=0.2)


def test_the_model_and_the_global_generator_stay_as_they_are() -> None:
    model = make_model().requires_grad_(False)
    before, state = {n: p.clone() for n, p in model.named_parameters()}, torch.get_rng_state()
    for changed in gauges(model):
        assert not changed.training
        assert not any(parameter.requires_grad for parameter in changed.parameters())
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    assert torch.equal(state, torch.get_rng_state())


@hooked_only
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_heads": 4, "n_key_value_heads": 2}, "shared keys"),
        ({"positional_embedding_type": "rotary", "rotary_dim": 6}, "rotary"),
    ],
)
def test_models_that_cannot_be_rescaled_are_refused(settings: dict, message: str) -> None:
    model = make_model(**settings)
    for change in (balanced, lambda refused: gauge.random_gauge(refused, 0)):
        with pytest.raises(NotMeasurable, match=message):
            change(model)


def test_heads_without_full_rank_and_wrong_spreads_are_refused(model) -> None:
    with pytest.raises(ValueError, match=r"spread=0\.5"):
        gauge.random_gauge(model, 0, spread=0.5)
    model.blocks[1].attn.W_V.data[2, :, 3] = 0
    with pytest.raises(NotMeasurable, match=r"W_V, W_O of L1H2 .* full rank"):
        gauge.balanced(model, text(), 1)
    gauge.balanced(model, text(), 0)  # the other layer is what it is
    with pytest.raises(ValueError, match="layer=2: the model has layers 0 to 1"):
        gauge.balanced(model, text(), 2)
    solu = make_model(attn_only=False, act_fn="solu_ln", d_mlp=9)
    with pytest.raises(NotMeasurable, match="norm of their own"):
        gauge.balanced(solu, text(), 0)
