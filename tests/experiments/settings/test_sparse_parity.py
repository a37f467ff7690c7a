"""Sparse parity against literal products, and its curvatures against the Hessian of the loss that is sampled."""

import pytest
import torch

from experiments.settings import laplace
from experiments.settings.sparse_parity import curvature, network


def test_answers_are_parities_of_the_tasks_bits() -> None:
    asked = network.tasks(3, 0)
    rows, answers = network.evaluation(asked, 5, 0)
    for row, answer in zip(rows.tolist(), answers.tolist(), strict=True):
        names, bits = row[: network.NAMES], row[network.NAMES :]
        name = names.index(1.0)
        assert sum(names) == 1 and set(bits) <= {-1.0, 1.0} and len(bits) == network.BITS
        first, second, third = asked.bits[name].tolist()
        assert answer == (bits[first] * bits[second] * bits[third] if name < 3 else 0)


def test_names_of_one_task_are_asked_the_same_and_tasks_are_not() -> None:
    same, own = network.tasks(8, 0, same=True), network.tasks(8, 0)
    assert (same.bits == own.bits[0]).all() and (own.bits != own.bits[0]).any()
    assert own.shares.tolist() == pytest.approx([1 / 8] * 8)
    shares = network.tasks(8, 0, zipf=1.4).shares
    assert float(shares[0] / shares[3]) == pytest.approx(4**1.4, rel=1e-5)
    with pytest.raises(ValueError, match="9 tasks: give 1 to 8"):
        network.tasks(9, 0)


def test_outputs_are_those_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "NEURONS", 3)
    generator = torch.Generator().manual_seed(0)
    rows, positions = torch.randn(4, 5, generator=generator), torch.randn(2, 5 * 3 + 3 + 3 + 1, generator=generator)
    found = network.outputs(positions, rows)
    for chain in range(2):
        flat = positions[chain]
        reader, bias, out, offset = flat[:15].view(5, 3), flat[15:18], flat[18:21], flat[21]
        torch.testing.assert_close(found[chain], (rows @ reader + bias).relu() @ out + offset)


def test_curvatures_are_those_of_the_loss_that_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "NEURONS", 2)
    generator = torch.Generator().manual_seed(1)
    rows, at = torch.randn(30, 3, generator=generator).double(), torch.randn(11, generator=generator).double()
    own = network.outputs(at[None], rows)[0]
    hessian = torch.func.hessian(lambda w: (network.outputs(w[None], rows)[0] - own).square().mean() / 2)(at)
    found = curvature.eigenvalues(at, rows)
    exact = torch.linalg.eigvalsh(hessian).flip(0)
    torch.testing.assert_close(found[: len(at)], exact.clamp(min=0), atol=1e-9, rtol=1e-6)
    assert float(found[len(at) :].max()) < 1e-9  # there are more inputs than parameters
    assert laplace.coefficient(found, 1e8, 1.0) == pytest.approx(int((found > 1e-9).sum()) / 2, abs=0.01)


def test_a_network_learns_its_task_and_leaves_the_others() -> None:
    asked = network.tasks(1, 0)
    kept = network.train(asked, 0, {0, 500})
    start, end = (network.errors(kept[step], asked, 0) for step in (0, 500))
    assert start[0] > 0.9 and end[0] < network.LEARNED
    assert max(end[1:]) < network.LEARNED  # answers 0 where there is no answer
    other = network.errors(kept[500], network.tasks(8, 0), 0)
    assert min(other[1:]) > 0.9  # the control: tasks that it was not taught are not known
