"""Attention with a backward pass by hand, against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F

from ablations import attend, attend_short
from ablations.attend import block_attention


@pytest.mark.parametrize(
    ("rows", "length", "heads"), [(2, 1, 1), (3, 17, 5), (70, 64, 1), (2, 65, 3), (2, 70, 8), (2, 150, 11), (2, 600, 1)]
)
def test_values_and_gradients(rows: int, length: int, heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(rows, length, 3, heads, 4, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(rows, length, heads, 4, generator=generator, dtype=torch.float64)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=1.0).transpose(1, 2)
    found = block_attention(qkv)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((z * weight).sum(), qkv)[0] for z in (found, expected)]
    torch.testing.assert_close(*gradients)
    everything = F.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2)
    assert length == 1 or (found - everything).abs().max() > 1e-3  # the control: it is causal


def test_short_rows_go_together_and_in_groups_that_fit_the_cache() -> None:
    sizes = {rows: len(list(attend_short._groups(torch.empty(rows, 64, 64)))) for rows in (1, 64, 65, 200)}
    assert sizes == {1: 1, 64: 1, 65: 2, 200: 4}


def test_blocks_cover_every_query_once() -> None:
    for length in (1, 63, 64, 65, 256, 1024):
        blocks = attend._blocks(length)
        assert [at for start, stop in blocks for at in range(start, stop)] == list(range(length))
