"""Minibatches with a control variate: the same loss in the mean, without gradient noise at the center."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from ablations import forward
from ablations.models import Model
from llc import chains, control_variate, engine, losses, mala, restrict
from llc.estimate import learning_coefficient
from llc.restrict import Restriction
from tests.conftest import make_model
from tests.llc.conftest import SHORT, settings

pytestmark = pytest.mark.both_majors

TOKENS = torch.randint(50, (37, 12), generator=torch.Generator().manual_seed(2))


def selected(model: Model, text: str) -> Restriction:
    return restrict.parse(text, forward.parameters_of(model), model.cfg)


def at(model: Model, restriction: Restriction, rows: np.ndarray, loss: losses.Loss):
    """What evaluates a restriction on these rows, by the model's own forward."""
    weights, predict = forward.parameters_of(model), losses.predictor(model)
    return chains.evaluation(predict, weights, restriction, loss, TOKENS[rows], rows)[1]


LOSSES = {
    "next token": losses.next_token(),
    "weighted": losses.weighted(torch.linspace(0, 2, 37 * 11).view(37, 11), "rising"),
    "reference": losses.kl_to(make_model(3), "other"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_whole_gradients_are_those_of_all_rows_at_once(name: str) -> None:
    model, loss = make_model(1), LOSSES[name]
    parts = [selected(model, text) for text in ("L0H1", "L1", "embed", "full")]
    found = control_variate.whole_gradients(model, TOKENS, loss, parts)
    for part in parts:
        evaluate = at(model, part, np.arange(37), loss)
        _, exact = evaluate(part.flat(forward.parameters_of(model))[None])
        torch.testing.assert_close(found[part.name], exact[0], rtol=1e-4, atol=1e-5)
        assert exact.norm() > 1e-2


def test_whole_gradients_of_tied_weights() -> None:
    model = make_model(1)
    model.unembed.W_U.data = model.embed.W_E.data.T
    part = selected(model, "embed")
    found = control_variate.whole_gradients(model, TOKENS, losses.next_token(), [part])["embed"]
    center = part.flat(forward.parameters_of(model))
    _, exact = at(model, part, np.arange(37), losses.next_token())(center[None])
    torch.testing.assert_close(found, exact[0], rtol=1e-4, atol=1e-5)
    untied = make_model(1)
    untied.unembed.W_U.data = untied.embed.W_E.data.T.clone()
    other = control_variate.whole_gradients(untied, TOKENS, losses.next_token(), [selected(untied, "embed")])["embed"]
    assert (found - other).norm() > 0.1 * found.norm()  # the control


def test_the_mean_over_minibatches_stays_and_the_noise_at_the_center_goes() -> None:
    model, loss = make_model(1), losses.next_token()
    part = selected(model, "L0H1")
    center = part.flat(forward.parameters_of(model))
    whole = control_variate.whole_gradients(model, TOKENS, loss, [part])[part.name]
    moved = center + 0.1 * torch.randn(3, len(center), generator=torch.Generator().manual_seed(0))
    places = torch.cat([moved, center[None]])
    plain, reduced = [], []
    for row in range(37):
        evaluate = at(model, part, np.array([row]), loss)
        plain.append(evaluate(places))
        reduced.append(control_variate.Reduced(evaluate, center, whole)(places))
    for which in (0, 1):  # losses, gradients
        own, other = (torch.stack([one[which] for one in every]) for every in (plain, reduced))
        torch.testing.assert_close(own.mean(0), other.mean(0), rtol=1e-4, atol=1e-4)
    gradients = torch.stack([one[1] for one in reduced])
    assert gradients[:, 3].std(0).max() < 1e-5  # at the center
    assert torch.stack([one[1] for one in plain])[:, 3].std(0).max() > 1e-2
    # a gradient is that of its own loss, with and without asking for it first
    value = control_variate.Reduced(at(model, part, np.arange(5), loss), center, whole)
    asked, gradient = value(moved[:1])
    step = 1e-2 * gradient / gradient.norm()
    ends = [value(moved[:1] + sign * step, gradient=False)[0].double() for sign in (1, -1)]
    assert float(ends[0] - ends[1]) == pytest.approx(2e-2 * float(gradient.norm()), rel=0.02)
    fresh = control_variate.Reduced(at(model, part, np.arange(5), loss), center, whole)
    torch.testing.assert_close(fresh(moved[:1], gradient=False)[0], asked)


def test_both_paths_make_the_same_chains() -> None:
    model = make_model(1)
    sample = partial(engine.sample, model, TOKENS, ["L0H1", "L1H2"], settings=SHORT, seed=0, control_variate=True)
    fast, general = sample(path="fast"), sample(path="general")
    plain = engine.sample(model, TOKENS, ["L0H1", "L1H2"], settings=SHORT, seed=0)
    for name, trace in fast.items():
        assert trace.attrs["control_variate"] == "center"
        np.testing.assert_allclose(trace.loss, general[name].loss, rtol=1e-4)
        assert abs(trace.loss - plain[name].loss).max() > 1e-3
        assert "control_variate" not in plain[name].attrs


def test_it_does_not_change_what_is_estimated() -> None:
    """Where minibatch noise is small, and on average over seeds."""
    model, chosen = make_model(1), settings(batch_size=8, num_chains=2, num_draws=80, num_burnin=30)
    found = {
        variate: [
            learning_coefficient(
                engine.sample(model, TOKENS, ["L1H0"], settings=chosen, seed=seed, control_variate=variate)["L1H0"]
            )
            for seed in range(2)
        ]
        for variate in (False, True)
    }
    (plain, plain_se), (reduced, reduced_se) = (
        (np.mean([one.value for one in each]), np.mean([one.se**2 for one in each]) ** 0.5 / 2**0.5)
        for each in found.values()
    )
    assert abs(plain - reduced) < 4 * np.hypot(plain_se, reduced_se)


def test_the_whole_gradient_is_taken_once_for_settings_of_one_model_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def counted(model: Model, tokens: Tensor, loss: losses.Loss, restrictions: list) -> dict[str, Tensor]:
        asked.append([each.name for each in restrictions])
        return whole(model, tokens, loss, restrictions)

    whole = control_variate.whole_gradients
    monkeypatch.setattr(control_variate, "whole_gradients", counted)
    sample = partial(engine.sample, seed=0, control_variate=True)
    model, other = make_model(3), make_model(4)
    sample(model, TOKENS, ["L0H1"], settings=SHORT)
    again = sample(model, TOKENS, ["L1H0", "L0H1"], settings=replace(SHORT, nbeta=60.0))
    assert asked == [["L0H1"], ["L1H0"]]
    for changed in ((other, TOKENS), (other, TOKENS[:4])):  # the control: another model, another text
        sample(*changed, ["L0H1"], settings=SHORT)
    assert asked[2:] == [["L0H1"], ["L0H1"]]
    fresh = sample(model, TOKENS, ["L0H1"], settings=replace(SHORT, nbeta=60.0))
    xr.testing.assert_identical(again["L0H1"], fresh["L0H1"])


def test_a_sampler_of_whole_data_has_no_use_for_it() -> None:
    with pytest.raises(ValueError, match="takes the whole data at every step: leave it out"):
        engine.sample(make_model(1), TOKENS, ["L0H1"], settings=SHORT, seed=0, kernel=mala, control_variate=True)
