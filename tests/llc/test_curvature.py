"""Hessian and Fisher traces: against dense matrices in float64, and by their own standard errors."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ablations import forward
from ablations.models import Model
from llc import losses, restrict
from llc.fisher_trace import drawn, fisher_trace, squared_gradients
from llc.hessian_trace import hessian_product, hessian_trace, probed
from tests.conftest import hooked_only, make_model

pytestmark = pytest.mark.both_majors

SMALL = {"d_model": 8, "d_head": 4, "n_heads": 2, "d_vocab": 11, "n_ctx": 8}
HEADS = ["L0H0", "L0H1", "L1H0", "L1H1"]
COPIES = 40  # of the text, each row with a probe of its own


@pytest.fixture(scope="module")
def small() -> Model:
    return make_model(dtype=torch.float64, **SMALL).requires_grad_(False)


@pytest.fixture(scope="module")
def text() -> torch.Tensor:
    return torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def hessian(small: Model, text: torch.Tensor) -> torch.Tensor:
    """Of the mean loss, over all heads in order."""
    return dense(small, text, "+".join(HEADS))


def dense(model: Model, text: torch.Tensor, restriction: str) -> torch.Tensor:
    """The Hessian of TransformerLens's own loss."""
    weights, varied = dict(model.named_parameters()), parse(model, restriction)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, varied.put(weights, flat), (text,), {"return_type": "loss"})

    return torch.autograd.functional.hessian(loss, varied.flat(weights), vectorize=True)


def probe_variance(own: torch.Tensor) -> float:
    """Of random signs over one restriction: 2 |offdiag|^2."""
    return 2 * float(own.square().sum() - own.diagonal().square().sum())


def parse(model: Model, text: str) -> restrict.Restriction:
    return restrict.parse(text, dict(model.named_parameters()), model.cfg)


def block(hessian: torch.Tensor, head: str) -> slice:
    size = len(hessian) // len(HEADS)
    return slice(HEADS.index(head) * size, (HEADS.index(head) + 1) * size)


def dense_trace(hessian: torch.Tensor, head: str) -> float:
    return float(hessian.diagonal()[block(hessian, head)].sum())


@pytest.mark.parametrize("head", ["L0H1", "L1H0"])
def test_unit_probes_give_the_trace_itself(small, text, hessian, head: str) -> None:
    one = parse(small, head)
    zeros = {name: torch.zeros_like(small.state_dict()[name]) for name, _ in one.parts}
    units = torch.eye(one.dimension, dtype=torch.float64)
    found = sum(probed(small, text, [one], one.put(zeros, unit))[0] for unit in units)
    assert found == pytest.approx(dense_trace(hessian, head), abs=1e-10)
    others = [dense_trace(hessian, other) for other in HEADS if other != head]
    assert min(abs(found - other) for other in others) > 1e-3


def test_products_are_those_of_the_dense_matrix(small, text, hessian) -> None:
    weights, varied = dict(small.named_parameters()), parse(small, "+".join(HEADS))
    direction = torch.randn(varied.dimension, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    zeros = {name: torch.zeros_like(weights[name]) for name, _ in varied.parts}
    with torch.no_grad():  # as a caller may have it
        found = varied.flat(hessian_product(small, text, varied.put(zeros, direction)))
    torch.testing.assert_close(found, hessian @ direction, rtol=0, atol=1e-12)


@hooked_only
@pytest.mark.parametrize("attn_only", [True, False])
def test_products_are_differences_of_gradients(text, attn_only: bool) -> None:
    """Also with MLPs, rotary positions and shared keys; the attention-only gradient goes through other code."""
    other = {"attn_only": False, "act_fn": "gelu", "d_mlp": 9, "positional_embedding_type": "rotary"}
    other |= {"rotary_dim": 4, "n_key_value_heads": 1}
    model = make_model(dtype=torch.float64, **SMALL, **({} if attn_only else other))
    weights, full = {n: p.detach() for n, p in model.named_parameters()}, parse(model, "full")
    direction = torch.randn(full.dimension, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def gradient(step: float) -> torch.Tensor:
        at = (full.flat(weights) + step * direction).requires_grad_()
        predictions = losses.predictor(model)(full.put(weights, at), text)
        return torch.autograd.grad(F.cross_entropy(predictions.flatten(0, 1), text[:, 1:].flatten()), at)[0]

    expected = (gradient(1e-5) - gradient(-1e-5)) / 2e-5
    found = full.flat(hessian_product(model, text, full.put(weights, direction)))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_hutchinson_is_unbiased_with_the_error_it_states(small, text, hessian) -> None:
    """Of restrictions that overlap too; against other heads' traces, and with probes that are not independent signs."""
    asked = [*HEADS, "L1"]
    found = hessian_trace(small, text.repeat(COPIES, 1), asked, seed=0)
    truth = {head: dense_trace(hessian, head) for head in HEADS}
    truth["L1"] = truth["L1H0"] + truth["L1H1"]
    assert list(found) == asked
    assert all(abs(found[name].value - truth[name]) < 4 * found[name].se for name in asked)
    assert max(abs(found[a].value - truth[b]) / found[a].se for a, b in zip(HEADS, HEADS[::-1], strict=True)) > 4
    restrictions = [parse(small, head) for head in HEADS]
    ones = {
        name: torch.ones_like(small.state_dict()[name]) for name, _ in restrictions[0].parts + restrictions[2].parts
    }
    biased = probed(small, text, restrictions, ones)
    misses = [abs(value - truth[head]) / found[head].se for value, head in zip(biased, HEADS, strict=True)]
    assert max(misses) > 4


def test_groups_of_the_same_rows_have_the_variance_of_signs(small, text, hessian) -> None:
    """2 |offdiag H_SS|^2 + |H_S,rest|^2."""
    count = 4 * COPIES
    found = hessian_trace(small, text.repeat(count, 1), HEADS, seed=1, group=len(text))
    for head in HEADS:
        rows = hessian[block(hessian, head)]
        own = rows[:, block(hessian, head)]
        variance = probe_variance(own) + float(rows.square().sum() - own.square().sum())
        assert found[head].se ** 2 * count == pytest.approx(variance, rel=0.4)
        assert abs(found[head].value - dense_trace(hessian, head)) < 4 * found[head].se


def test_the_error_holds_probes_and_text(small) -> None:
    """Rows drawn from two very different ones: the variances of both add up, and the mean of the two is met."""
    two = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(5))[[0, 2]]
    rows = two[torch.randint(2, (32,), generator=torch.Generator().manual_seed(0))]
    hessians = [dense(small, row[None], "L1H1") for row in two]
    traces = [float(one.trace()) for one in hessians]
    of_probes = np.mean([probe_variance(one) for one in hessians]) / 8
    found = hessian_trace(small, rows, ["L1H1"], seed=0, probes=8)["L1H1"]
    assert abs(found.value - np.mean(traces)) < 4 * found.se
    assert found.se**2 * 32 == pytest.approx(np.var(traces) + of_probes, rel=0.4)
    assert found.se**2 * 32 > 3 * of_probes
    assert abs(found.value - traces[0]) > 4 * found.se


def dense_scores(model: Model, row: torch.Tensor, varied: restrict.Restriction) -> tuple:
    """Probabilities [position, token] and the gradient of each log-probability."""
    weights = dict(model.named_parameters())

    def logs(flat: torch.Tensor) -> torch.Tensor:
        at = torch.func.functional_call(model, varied.put(weights, flat), (row[None],))
        return at[0, :-1].log_softmax(-1)

    flat = varied.flat(weights)
    return logs(flat).exp(), torch.autograd.functional.jacobian(logs, flat)


def test_fisher_of_the_text_is_that_of_dense_outer_products(small, text) -> None:
    one, expected = parse(small, "L0H1"), []
    for row in text:
        _, gradients = dense_scores(small, row, one)
        score = gradients[torch.arange(6), row[1:]].sum(0)  # of the row's log-likelihood
        expected.append(float(torch.outer(score, score).trace()) / 6)
    found = squared_gradients(small, text, [one], None)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    estimate = fisher_trace(small, text, ["L0H1"], seed=0, labels="data")["L0H1"]
    assert estimate.value == pytest.approx(np.mean(expected), abs=1e-10)
    assert estimate.se == pytest.approx(np.std(expected, ddof=1) / 2, abs=1e-10)
    assert abs(estimate.value - squared_gradients(small, text, [parse(small, "L0H0")], None).mean()) > 1e-3


def test_fisher_is_the_gauss_newton_trace(small, text, hessian) -> None:
    """And not the Hessian's where predictions are far from the text, nor that of the text's own labels."""
    one, expected = parse(small, "L1H0"), 0.0
    for row in text:
        probabilities, gradients = dense_scores(small, row, one)
        expected += float((probabilities * gradients.square().sum(-1)).sum()) / text[:, 1:].numel()
    found = fisher_trace(small, text.repeat(COPIES, 1), ["L1H0"], seed=0)["L1H0"]
    assert abs(found.value - expected) < 4 * found.se
    assert abs(found.value - dense_trace(hessian, "L1H0")) > 4 * found.se
    of_text = fisher_trace(small, text, ["L1H0"], seed=0, labels="data")["L1H0"]
    assert abs(of_text.value - expected) > 4 * found.se


def test_labels_come_from_the_predictions() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    labels = drawn(logits.expand(100, 40, 3), torch.Generator().manual_seed(0))
    shares = torch.bincount(labels.flatten()) / 4000
    assert ((shares - logits.softmax(0)).abs() < 4 * 0.5 / 4000**0.5).all()


def test_nothing_but_the_seed_matters_and_nothing_is_changed(small, text) -> None:
    before, state = {n: p.clone() for n, p in small.named_parameters()}, torch.get_rng_state()
    for trace in (hessian_trace, fisher_trace):
        first, again, other = (trace(small, text, HEADS, seed=seed) for seed in (0, 0, 1))
        assert first == again != other
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[n], p) and p.grad is None for n, p in small.named_parameters())
    assert not any(p.requires_grad for p in small.parameters())


def test_float32_is_enough(small, text) -> None:
    single = make_model(**SMALL)
    for name, weight in forward.weights_of(small).items():
        single.state_dict()[name].copy_(weight)
    for trace in (hessian_trace, fisher_trace):
        rounded, exact = (trace(model, text, HEADS, seed=0) for model in (single, small))
        assert all(rounded[head].value == pytest.approx(exact[head].value, rel=1e-3) for head in HEADS)


def test_what_cannot_be_estimated_is_refused(small, text) -> None:
    with pytest.raises(ValueError, match="4 rows in groups of 3"):
        hessian_trace(small, text, HEADS, seed=0, group=3)
    with pytest.raises(ValueError, match="1 rows in groups of 1"):
        hessian_trace(small, text[:1], HEADS, seed=0)
    with pytest.raises(ValueError, match="probes=0"):
        hessian_trace(small, text, HEADS, seed=0, probes=0)
    with pytest.raises(ValueError, match="1 rows"):
        fisher_trace(small, text[:1], HEADS, seed=0)
    for trace in (hessian_trace, fisher_trace):
        with pytest.raises(ValueError, match="unknown restriction 'L7'"):
            trace(small, text, ["L7"], seed=0)
        with pytest.raises(ValueError, match="no restriction"):
            trace(small, text, [], seed=0)
        with pytest.raises(ValueError, match="token 11 is outside"):
            trace(small, text + 1, HEADS, seed=0)
