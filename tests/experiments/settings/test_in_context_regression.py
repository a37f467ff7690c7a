"""In-context regression against brute force: both posterior means, the transformer written out, exact losses."""

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from experiments import settings
from experiments.settings import laplace
from experiments.settings.in_context_regression import coefficient, data, network, paths, predictors, setting
from experiments.settings.in_context_regression.coefficient import SETTINGS
from experiments.settings.in_context_regression.data import NOISE, WIDTH
from experiments.storage.files import read_json


def some(count: int, seed: int = 0) -> data.Contexts:
    return data.contexts(count, None, torch.Generator().manual_seed(seed))


def some_weights(chains: int) -> torch.Tensor:
    """Networks whose predictions are of order one."""
    generator = torch.Generator().manual_seed(3)
    return 0.25 * torch.randn(chains, sum(network.SIZES), generator=generator)


def posterior_mean(inputs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Of a uniform prior on these weights, by their likelihoods one after the other."""
    likelihood = torch.stack([torch.exp(-(labels - inputs @ w).square().sum() / (2 * NOISE)) for w in weights])
    return (likelihood[:, None] * weights).sum(0) / likelihood.sum()


def test_dmmse_is_the_posterior_mean_over_the_list() -> None:
    found, known = some(3), data.tasks(5, 0)
    predicted, other = predictors.dmmse(found, known), predictors.dmmse(found, data.tasks(5, 1))
    for context in range(3):
        for k in range(data.EXAMPLES):
            inputs, labels = found.inputs[context].double(), found.labels[context].double()
            mean = posterior_mean(inputs[:k], labels[:k], known.double())
            assert float(predicted[context, k]) == pytest.approx(float(inputs[k] @ mean), abs=1e-5)
    assert not torch.allclose(predicted, other, atol=0.1)  # the control: another list


def test_ridge_is_the_posterior_mean_over_a_grid_with_a_normal_prior() -> None:
    found = some(2)
    line = torch.linspace(-5, 5, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    predicted = predictors.ridge(found)
    for context in range(2):
        for k in range(3):
            inputs, labels = found.inputs[context].double(), found.labels[context].double()
            missed = (labels[:k] - grid @ inputs[:k].T).square().sum(1)
            share = (-missed / (2 * NOISE) - grid.square().sum(1) / 2).softmax(0)
            exact = float(inputs[k] @ (share[:, None] * grid).sum(0))
            assert float(predicted[context, k]) == pytest.approx(exact, abs=1e-4)


def test_many_tasks_make_dmmse_ridge_and_few_do_not() -> None:
    found = some(50)
    ridge = predictors.ridge(found)
    few, many = (float((predictors.dmmse(found, data.tasks(m, 0)) - ridge).square().mean()) for m in (4, 20_000))
    assert many < 0.005 and few > 0.3


def test_losses_are_those_expected() -> None:
    found = some(40_000)
    missed = (predictors.ridge(found) - found.labels).square().mean(0)
    expected = predictors.ridge_loss(found).mean(0)
    assert float(expected[0]) == pytest.approx(data.PRIOR_LOSS, abs=1e-9)
    assert missed.tolist() == pytest.approx(expected.tolist(), rel=0.05)
    dmmse = (predictors.dmmse(found, data.tasks(4, 0)) - found.labels).square().mean(0)
    assert float(dmmse[-1]) > 3 * float(expected[-1])  # the control: the wrong prior on new tasks
    known = data.tasks(4, 0)
    listed = data.contexts(20_000, known, torch.Generator().manual_seed(1))
    best = (predictors.dmmse(listed, known) - listed.labels).square().mean()
    assert float(best) < float((predictors.ridge(listed) - listed.labels).square().mean())


def test_shuffled_labels_are_the_same_labels_and_say_nothing() -> None:
    found = some(20_000)
    shuffled = data.shuffled(found, torch.Generator().manual_seed(1))
    assert (shuffled.labels.sort(0).values == found.labels.sort(0).values).all() and shuffled.inputs is found.inputs
    related = [
        abs(
            float(
                np.corrcoef((one.labels[:, 0] * one.inputs[:, 0, 0]).numpy(), one.labels[:, 1] * one.inputs[:, 1, 0])[
                    0, 1
                ]
            )
        )
        for one in (found, shuffled)
    ]
    assert related[0] > 0.1 and related[1] < 0.03


def test_tokens_are_inputs_and_labels_in_turn() -> None:
    found = some(2)
    tokens = data.tokens(found)
    assert tokens.shape == (2, network.TOKENS, 1 + WIDTH)
    assert (tokens[:, ::2, 0] == 0).all() and (tokens[:, ::2, 1:] == found.inputs).all()
    assert (tokens[:, 1::2, 0] == found.labels[:, :-1]).all() and (tokens[:, 1::2, 1:] == 0).all()


def test_outputs_are_those_of_each_network_written_out() -> None:
    tokens, weights = data.tokens(some(5)), some_weights(3)
    found = network.outputs(weights, tokens)
    for chain in range(3):
        part = dict(zip(network.SHAPES, weights[chain].split(network.SIZES), strict=True))
        part = {name: part[name].view(shape) for name, shape in network.SHAPES.items()}
        stream = tokens @ part["embed"] + part["position"]
        for layer in range(network.LAYERS):
            query, key, value = (
                (stream @ part[f"{name}{layer}"]).view(5, network.TOKENS, network.HEADS, -1).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            mixed = scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)
            stream = stream + mixed @ part[f"out{layer}"]
            stream = stream + (stream @ part[f"reader{layer}"]).relu() @ part[f"writer{layer}"]
        torch.testing.assert_close(found[chain], (stream @ part["unembed"])[:, ::2, 0], atol=1e-4, rtol=1e-4)


def test_a_prediction_sees_what_is_before_it_and_nothing_behind() -> None:
    found, weights = some(4), some_weights(1)
    labels = found.labels.clone()
    labels[:, 3] += 1.0
    before, after = (network.outputs(weights, data.tokens(one)) for one in (found, found._replace(labels=labels)))
    torch.testing.assert_close(before[:, :, :4], after[:, :, :4])  # the label that it predicts is not seen
    assert float((before[:, :, 4:] - after[:, :, 4:]).abs().min()) > 0


def test_curvatures_are_those_of_the_loss_that_is_sampled() -> None:
    tokens, weights = data.tokens(some(3)), some_weights(1)[0].double()
    values = coefficient.eigenvalues(weights, tokens)
    own = network.outputs(weights[None], tokens.double())[0]
    direction = torch.randn(len(weights), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    derivative = torch.func.jacrev(lambda w: network.outputs(w[None], tokens.double())[0].flatten())(weights)

    def distance(size: float) -> float:
        return float(
            (network.outputs((weights + size * direction)[None], tokens.double())[0] - own).square().mean() / 2
        )

    hessian = derivative.T @ derivative / len(derivative)
    assert distance(1e-6) / 1e-12 == pytest.approx(float(direction @ hessian @ direction) / 2, rel=1e-3)
    assert float(values.sum()) == pytest.approx(float(hessian.trace()), rel=1e-6) and (values >= 0).all()
    assert laplace.coefficient(torch.full((4,), 1e9), SETTINGS.nbeta, SETTINGS.localization) == pytest.approx(
        2.0, abs=1e-6
    )


def test_training_uses_examples_and_with_shuffled_labels_does_not() -> None:
    found = some(500, 9)
    learned = network.train(None, 0, {0, 120})
    start, end = (float(network.loss(learned[step], found)) for step in (0, 120))
    control = network.train(None, 0, {120}, shuffle=True)[120]
    assert end < 0.8 * start
    hidden = data.shuffled(found, torch.Generator().manual_seed(0))
    assert float(network.loss(control, hidden)) > 0.97 * float(hidden.labels.square().mean())


def test_walks_have_no_direction_and_a_straight_path_has() -> None:
    generator = np.random.default_rng(0)
    ridge, dmmse = generator.standard_normal((2, 84))
    share = np.linspace(0, 1, 20)[:, None]
    new = {"path": (share * ridge).tolist()}
    few = {"path": (share * dmmse).tolist(), "ridge": ridge.tolist(), "dmmse": dmmse.tolist()}
    assert paths.along(new, few) == pytest.approx(1.0)
    value, low, high = paths.walks(new, few)
    assert abs(value) < 0.02 and low < -0.1 and high > 0.1
    plane = paths.plane({"new": new | few | {"path": new["path"]}, "few": few})
    assert plane.shares.sum() == pytest.approx(1.0)  # two straight lines from one point lie in a plane
    np.testing.assert_allclose(plane.paths["new"][-1], plane.ridge, atol=1e-9)
    np.testing.assert_allclose(plane.paths["few"][-1], plane.dmmse["few"], atol=1e-9)


def test_what_is_committed_says_what_the_documents_say() -> None:
    measured = read_json(settings.MEASURED / "in-context-regression.json")
    verdicts = {row.quantity: row.verdict for row in setting.rows(measured)}
    assert verdicts["excess loss / squared distance to ridge, new tasks"] == "agrees"
    assert verdicts["log distance to ridge / to dMMSE, new tasks"] == "agrees"
    assert verdicts["log distance to ridge / to dMMSE, 4 tasks"] == "agrees"
    assert verdicts["final loss / the prior's, labels shuffled"] == "control quiet"
    # The control: with new tasks and few exchanged, neither is nearer to its own predictor.
    names = {"new": "few", "few": "new"}
    swapped = {
        " ".join([names.get(name.split()[0], name.split()[0]), name.split()[1]]): one for name, one in measured.items()
    }
    wrong = {row.quantity: row.verdict for row in setting.rows(swapped)}
    assert wrong["log distance to ridge / to dMMSE, new tasks"] == "DISAGREES"
    assert wrong["log distance to ridge / to dMMSE, 4 tasks"] == "DISAGREES"
