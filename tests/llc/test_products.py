"""The hand-written backward passes: against finite differences, and against PyTorch's own cross-entropy."""

import pytest
import torch
import torch.nn.functional as F

from llc import cross_entropy as fused
from llc.cross_entropy import FlatTargets, cross_entropy
from llc.scaled_product import scaled_product


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def targets_of(tokens: int, vocab: int, soft: bool) -> FlatTargets:
    targets = random(tokens, vocab, seed=4).detach().softmax(-1) if soft else torch.arange(tokens) % vocab
    share = random(tokens, seed=5).detach().abs() / tokens
    return FlatTargets(targets, share, 0.0, random(vocab, seed=6).detach())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("based", [False, True])
def test_cross_entropy(soft: bool, shared: bool, scaled: bool, based: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fused.CHUNK_BYTES, "cpu", 16 * 7 * 8)  # chunks of 16 tokens of the 40
    x, scale = random(2, 40, 3), random(2, 40, seed=1).abs().detach().requires_grad_() if scaled else None
    weight = random(3, 7, seed=2).detach() if shared else random(2, 3, 7, seed=2)
    base, targets = random(40, 7, seed=3).detach() if based else None, targets_of(40, 7, soft)

    def loss(x, weight, scale) -> torch.Tensor:
        return cross_entropy(x, weight, scale, targets, base)

    raw = x @ weight + (0 if base is None else base)
    logits = (raw if scale is None else raw * scale[..., None]) + targets.bias
    expected = [(F.cross_entropy(one, targets.labels, reduction="none") * targets.share).sum() for one in logits]
    torch.testing.assert_close(loss(x, weight, scale), torch.stack(expected))
    assert torch.autograd.gradcheck(loss, (x, weight, scale))


def test_a_probability_that_underflows_still_has_a_loss() -> None:
    x, weight = torch.tensor([[[1.0]]]), torch.tensor([[0.0, 400.0]])
    targets = FlatTargets(torch.tensor([0]), torch.ones(1), 0.0, torch.zeros(2))
    assert cross_entropy(x, weight, None, targets).item() == pytest.approx(400)


@pytest.mark.parametrize("scaled", [False, True])
def test_scaled_product(scaled: bool) -> None:
    x, weight, base, bias = random(2, 5, 3), random(2, 3, 7, seed=1), random(5, 7, seed=2), random(5, 7, seed=3)
    scale = random(2, 5, seed=4) if scaled else None

    def product(x, weight, scale) -> torch.Tensor:
        return scaled_product(x, weight, scale, base.detach(), bias.detach())

    raw = base + x @ weight
    torch.testing.assert_close(product(x, weight, scale), (raw if scale is None else raw * scale[..., None]) + bias)
    assert torch.autograd.gradcheck(product, (x, weight, scale))
