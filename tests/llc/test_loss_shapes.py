"""Losses meet the data they fit, and no other: weights for each predicted token, references and targets of one
vocabulary, scalars where a scalar is asked for.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr

from llc import closed_form, engine, learning_coefficient, losses, sample_function
from llc.chains import Observable, minibatches, sample
from llc.fisher_trace import fisher_trace
from llc.hessian_trace import hessian_trace
from llc.restrict import parse
from llc.settings import Settings
from tests.conftest import hooked_only, make_model
from tests.llc.conftest import SHORT

TOKENS = torch.randint(50, (6, 12), generator=torch.Generator().manual_seed(2))
WEIGHTS = torch.rand(6, 12, generator=torch.Generator().manual_seed(5))  # one for every token, a row's first too


def sampled(path: engine.Path, loss: losses.Loss, model=None) -> xr.Dataset:
    return engine.sample(model or make_model(1), TOKENS, ["L0H0"], settings=SHORT, seed=0, path=path, loss=loss)["L0H0"]


@pytest.mark.parametrize("path", ["fast", "general"])
def test_weights_belong_to_the_tokens_that_are_predicted(path: engine.Path) -> None:
    with torch.no_grad():
        logits = make_model(1)(TOKENS)[:, :-1]
    each = F.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten(), reduction="none").view(6, 11)
    drawn = minibatches(6, SHORT, 0)
    right, shifted = (
        np.array([float((each * w)[rows].mean()) for rows in drawn]) for w in (WEIGHTS[:, 1:], WEIGHTS[:, :-1])
    )
    found = sampled(path, losses.weighted(WEIGHTS[:, 1:], "of predicted tokens")).center_loss.values
    np.testing.assert_allclose(found, right, rtol=1e-5)
    assert abs(found - shifted).max() > 1e-2  # what weights that are one token off would give


@pytest.mark.parametrize("path", ["fast", "general"])
@pytest.mark.parametrize("shape", [(6, 12), (6, 10), (1, 11), (6, 1), (7, 11), (5, 11), (11, 6)], ids=str)
def test_weights_of_another_shape_are_refused_with_both_shapes(path: engine.Path, shape: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=rf"weights \[{shape[0]}, {shape[1]}\] .* \[6, 11\] of the data \[6, 12\]"
    ) as e:
        sampled(path, losses.weighted(torch.ones(shape), "of another shape"))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("shape", [(11,), (66,), (6, 11, 1), ()], ids=str)
def test_weights_that_are_no_table_are_refused_where_the_loss_is_made(shape: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"give \[row, predicted\]|weights"):
        losses.weighted(torch.ones(shape), "no table")


def test_an_observable_has_data_of_its_own_which_its_weights_must_fit() -> None:
    model, loss = make_model(1), losses.weighted(torch.ones(3, 11), "three rows")
    head = parse("L0H0", dict(model.named_parameters()), model.cfg)

    def watched(tokens: torch.Tensor) -> xr.Dataset:
        other = {"other": Observable(loss, tokens)}
        return sample(model, TOKENS, head, loss=losses.next_token(), settings=SHORT, seed=0, observables=other)

    assert "observable_other" in watched(TOKENS[:3])
    with pytest.raises(ValueError, match=r"\[3, 11\] do not fit the predicted tokens \[6, 11\]"):
        watched(TOKENS)


@pytest.mark.parametrize("path", ["auto", "general"])
def test_a_reference_has_the_models_vocabulary_and_context(path: engine.Path) -> None:
    with pytest.raises(ValueError, match="'small' has 60 logits, the model 50"):
        sampled(path, losses.kl_to(make_model(3, d_vocab=60), "small"))
    with pytest.raises(ValueError, match="do not fit the model's context of 8"):
        sampled(path, losses.kl_to(make_model(3, n_ctx=8)))
    assert np.isfinite(sampled(path, losses.kl_to(make_model(3))).loss).all()


def test_a_function_as_a_loss_gives_a_scalar() -> None:
    with pytest.raises(ValueError, match=r"'rows' gives a value of shape \[4\]: give a scalar"):
        sampled("general", losses.function("rows", lambda predictions, batch: predictions[:, 0, 0]))


def test_a_function_of_positions_gives_one_number_for_each_chain() -> None:
    """A mean over chains would divide their gradients by the number of chains."""
    sizes = {"batch_size": 1, "num_chains": 8, "num_draws": 800, "num_burnin": 200}
    settings = Settings("quadratic", lr=1e-3, nbeta=100.0, localization=1.0, **sizes)
    curvatures = torch.tensor([0.5, 2.0, 8.0])

    def run(loss, center: torch.Tensor) -> xr.Dataset:
        return sample_function(loss, center, settings=settings, seed=0)

    def each(positions, batch):
        return 0.5 * (positions**2 * curvatures).sum(1)

    found = learning_coefficient(run(each, torch.zeros(3)))
    assert abs(found.value - closed_form.quadratic(curvatures.numpy(), settings)) < 4 * found.se
    with pytest.raises(ValueError, match=r"has the shape \[\]: give one number for each position"):
        run(lambda positions, batch: each(positions, batch).mean(), torch.zeros(3))
    with pytest.raises(ValueError, match=r"has the shape \[8, 1\]"):
        run(lambda positions, batch: each(positions, batch)[:, None], torch.zeros(3))
    with pytest.raises((ValueError, TypeError), match="center"):
        run(each, torch.zeros(3, 1))


SMALLER = {"d_vocab": 14, "d_vocab_out": 13}  # token 13 is read and never predicted
READ, PREDICTED = torch.tensor([[13, 2, 1, 3], [13, 5, 12, 9]]), torch.tensor([[1, 2, 13, 3], [4, 5, 6, 9]])


@hooked_only
@pytest.mark.parametrize(
    "call",
    [
        lambda model, tokens: engine.sample(model, tokens, ["L0H0"], settings=SHORT, seed=0),
        lambda model, tokens: engine.sample(
            model, tokens, ["L0H0"], settings=SHORT, seed=0, loss=losses.weighted(torch.ones(2, 3), "ones")
        ),
        lambda model, tokens: hessian_trace(model, tokens, ["L0H0"], seed=0),
        lambda model, tokens: fisher_trace(model, tokens, ["L0H0"], seed=0, labels="data"),
    ],
    ids=["next token", "weighted", "Hessian", "Fisher"],
)
def test_tokens_that_are_read_and_never_predicted(call) -> None:
    model = make_model(1, **SMALLER)
    call(model, READ)
    with pytest.raises(ValueError, match="token 13 is to be predicted, and the model has logits for the first 13 of"):
        call(model, PREDICTED)


@hooked_only
def test_a_loss_without_targets_needs_no_logit_for_each_token() -> None:
    loss = losses.function("mean logit", lambda predictions, tokens: predictions.mean())
    trace = engine.sample(make_model(1, **SMALLER), PREDICTED, ["L0H0"], settings=SHORT, seed=0, loss=loss)["L0H0"]
    assert np.isfinite(trace.loss).all()
