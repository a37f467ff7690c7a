"""Modular addition against literal sums, and its curvatures against the Hessian of the loss that is sampled."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from experiments.settings import laplace
from experiments.settings.modular_addition import network, setting, spectrum


def weights(modulus: int, neurons: int, seed: int = 0) -> Tensor:
    return torch.randn(3, modulus, neurons, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairs_are_all_pairs_once_with_their_sums() -> None:
    data = network.pairs(7, 0)
    rows = torch.cat(data)
    assert len(data.trained) == int(0.8 * 49) and {(a, b) for a, b, _ in rows.tolist()} == {
        (a, b) for a in range(7) for b in range(7)
    }
    assert all(label == (a + b) % 7 for a, b, label in rows.tolist())
    drawn = torch.cat(network.pairs(7, 0, random=True))
    assert any(label != (a + b) % 7 for a, b, label in drawn.tolist())  # the control has no rule


def test_logits_are_sums_over_neurons() -> None:
    two = torch.stack([weights(3, 2, seed) for seed in (0, 1)])
    found = network.logits(two, torch.tensor([[2, 1, 0], [0, 0, 0]]))
    for chain in range(2):
        first, second, out = two[chain]
        for row, (a, b) in enumerate([(2, 1), (0, 0)]):
            expected = [sum(out[k, i] * (first[a, i] + second[b, i]) ** 2 for i in range(2)) for k in range(3)]
            torch.testing.assert_close(found[chain, row], torch.stack(expected))


def hessian(at: Tensor, rows: Tensor) -> Tensor:
    """Of the divergence of predictions from those of the network `at`, by autograd."""
    own = network.logits(at[None], rows)[0].log_softmax(1)

    def divergence(flat: Tensor) -> Tensor:
        other = network.logits(flat.view(1, *at.shape), rows)[0].log_softmax(1)
        return (own.exp() * (own - other)).sum(1).mean()

    return torch.func.hessian(divergence)(at.flatten())


def test_curvatures_are_those_of_the_loss_that_is_sampled() -> None:
    at, rows = weights(4, 2), network.pairs(4, 0).trained
    found = spectrum.eigenvalues(at, rows)
    expected = torch.linalg.eigvalsh(hessian(at, rows)).flip(0).clamp(min=0)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)
    other = torch.linalg.eigvalsh(hessian(weights(4, 2, seed=1), rows)).flip(0).clamp(min=0)
    assert not torch.allclose(found, other, rtol=0.1)


@pytest.mark.parametrize(("modulus", "neurons"), [(5, 1), (5, 3), (7, 2)])
def test_three_directions_of_a_neuron_are_free(modulus: int, neurons: int) -> None:
    at, rows = weights(modulus, neurons) / 2, network.pairs(modulus, 0, share=1.0).trained
    values = spectrum.eigenvalues(at, rows)
    assert spectrum.rank(values) == 3 * (modulus - 1) * neurons
    few = spectrum.eigenvalues(at, rows[:2])
    assert spectrum.rank(few) <= 2 * (modulus - 1)  # the count needs pairs enough


def test_pruned_neurons_are_left_out() -> None:
    at = weights(5, 3)
    at[:, :, 1] *= 1e-2
    assert network.alive(at).tolist() == [True, False, True]
    assert len(spectrum.eigenvalues(at, network.pairs(5, 0).trained)) == 3 * 5 * 2


def test_laplace_counts_half_of_each_direction_that_nbeta_reaches() -> None:
    values = torch.tensor([1.0, 1e-3, 0.0])
    assert laplace.coefficient(values, 1e3, 1.0) == pytest.approx((1000 / 1001 + 1 / 2) / 2)
    assert laplace.coefficient(values, 1e12, 1.0) == pytest.approx(1.0)


def test_sampling_finds_what_the_curvatures_say() -> None:
    data = network.pairs(5, 0)
    at = weights(5, 2).float() / 2
    values = spectrum.eigenvalues(at, data.trained)
    nbeta = 30 * setting.SETTINGS.localization / float(values[0])
    settings = replace(setting.SETTINGS, nbeta=nbeta, num_draws=1500, lr=1e-4, num_burnin=100)
    found = setting.coefficient(at, data, 0, settings)
    exact = laplace.coefficient(values, nbeta, settings.localization)
    assert found["low"] < exact < found["high"]
    assert not found["low"] < 1.3 * exact < found["high"]


def test_a_network_learns_and_is_the_same_again() -> None:
    data = network.pairs(5, 0)
    kept = network.train(5, data, 0, {0, 300})
    assert network.quality(kept[300], data).accuracy == 1.0 and network.quality(kept[0], data).loss > 1.0
    torch.testing.assert_close(network.train(5, data, 0, {300})[300], kept[300], rtol=0, atol=0)


def test_frequencies_of_cosines() -> None:
    number = torch.arange(11)
    waves = [torch.cos(2 * torch.pi * f * number / 11 + f) for f in (1, 1, 4)]
    reader = torch.stack(waves, 1)
    power = torch.tensor([2.0, 1.0])  # two neurons of one frequency, one of the other
    expected = float(power.sum() ** 2 / power.square().sum())
    assert network.frequencies(reader.expand(3, 11, 3)) == pytest.approx(expected, rel=1e-5)
