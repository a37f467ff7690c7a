"""Heads without full rank, or that write or read nothing: scores are 0 there, and NaN says "no such path"."""

import networkx as nx
import numpy as np
import pytest
import torch

from ablations import forward
from ablations.not_measurable import NotMeasurable
from circuits import annotate, composition, copying, planted, scores
from llc import gauge
from tests.conftest import make_model

EARLIER = (0, slice(None), 1)  # the pairs of a layer-0 and a layer-1 head


def flat_model(**overrides):
    return make_model(1, normalization_type=None, **overrides)


def subspace_cosines(written: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    """By SciPy's way: of orthonormal bases of two sets of columns of full rank."""
    one, other = (torch.linalg.qr(columns.double()).Q for columns in (written, read))
    return torch.linalg.svdvals(one.T @ other)


@pytest.mark.parametrize("rank", [1, 2, 5, 6])
def test_cosines_of_a_head_of_low_rank(rank: int) -> None:
    model = flat_model()
    with torch.no_grad():
        rows = model.blocks[0].attn.W_O[0, :rank].clone()
        mixing = torch.randn(6, rank, generator=torch.Generator().manual_seed(0))
        model.blocks[0].attn.W_O[0] = mixing @ rows  # rank up to rounding: no row is 0
    found = composition.principal_cosines(forward.weights_of(model), model.cfg)[0, 0, 1, 1]
    for via, name in enumerate("QKV"):
        expected = subspace_cosines(rows.T, getattr(model.blocks[1].attn, f"W_{name}")[1])
        torch.testing.assert_close(found[via, :rank].double(), expected, atol=1e-5, rtol=0)
        assert (found[via, rank:] == 0).all()
    # negative control: what an orthonormal basis of six columns gives, with directions that nothing is written to
    invented = torch.linalg.qr(model.blocks[0].attn.W_O[0].T).Q
    beyond = torch.linalg.svdvals(invented.T @ torch.linalg.qr(model.blocks[1].attn.W_Q[1]).Q)[rank:]
    assert (beyond > 0.01).any() == (rank < 6)


def test_a_reader_of_low_rank_counts_too() -> None:
    model = flat_model()
    with torch.no_grad():
        model.blocks[1].attn.W_K[2, :, 1:] = 0
    found = composition.principal_cosines(forward.weights_of(model), model.cfg)[0, :, 1, 2, 1]
    assert (found[:, 0] > 0.05).all()
    assert (found[:, 1:] == 0).all()


def test_what_a_reader_does_not_read_scores_0_and_never_nan() -> None:
    """W_OV of rank 2 whose two directions are at right angles to what the reader reads: the score's square, as a trace
    of products, is a rounding error on either side of 0.
    """
    for seed in range(30):
        generator, model = torch.Generator().manual_seed(seed), flat_model()
        basis, inner = (torch.linalg.qr(torch.randn(d, d, generator=generator)).Q for d in (24, 6))
        with torch.no_grad():
            rows = torch.randn(6, 6, generator=generator)  # two that V fills, and four that the reader would read
            written = torch.cat([rows[:2] @ basis[:, :6].T, rows[2:] @ basis[:, 6:12].T])
            model.blocks[0].attn.W_V[0] = torch.randn(24, 2, generator=generator) @ inner[:2]
            model.blocks[0].attn.W_O[0] = inner.T @ written
            model.blocks[1].attn.W_Q[1] = basis[:, 6:12] @ torch.randn(6, 6, generator=generator)
        found = composition.composition(forward.weights_of(model), model.cfg)[0, 0, 1]
        assert 0 <= found[1, 0] < 1e-6
        assert (found[[0, 2]] > 0.05).all()  # negative control: other readers do read it


@pytest.mark.parametrize("norm", [None, "LN"])
@pytest.mark.parametrize("name", ["W_Q", "W_K", "W_V", "W_O"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_head_that_writes_or_reads_nothing(norm: str | None, name: str, layer: int) -> None:
    model = make_model(1, normalization_type=norm)
    before = composition.composition(forward.weights_of(model), model.cfg)
    with torch.no_grad():
        getattr(model.blocks[layer].attn, name)[1] = 0
    weights = forward.weights_of(model)
    found = composition.composition(weights, model.cfg)
    _, sd = composition.spectral_baseline(weights, model.cfg)
    silent = torch.zeros(3, 3, 3, dtype=torch.bool)  # [source, target, via]
    if layer == 0 and name in ("W_V", "W_O"):
        silent[1] = True
    if layer == 1:
        silent[:, 1, :2] = name in ("W_Q", "W_K")
        silent[:, 1, 2] = name in ("W_V", "W_O")
    assert (found[EARLIER][silent] == 0).all()
    assert (sd[EARLIER][silent] == 0).all()
    assert torch.equal(found[EARLIER][~silent], before[EARLIER][~silent])
    assert (sd[EARLIER][~silent] > 0).all()
    assert torch.equal(found.isnan(), before.isnan())  # NaN where there is no such path, as before


def test_a_column_that_the_norm_removes_is_not_read() -> None:
    model = make_model(1)
    with torch.no_grad():
        model.blocks[1].ln1.w.fill_(1.1)
        model.blocks[1].attn.W_Q[1] = 0.3 * torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    weights = forward.weights_of(model)
    assert (composition.composition(weights, model.cfg)[0, :, 1, 1, :2] == 0).all()
    assert (composition.principal_cosines(weights, model.cfg)[0, :, 1, 1, 0] == 0).all()
    assert (composition.composition(weights, model.cfg, "raw")[0, :, 1, 1, :2] > 0).all()


def test_a_product_that_is_0_but_for_rounding() -> None:
    """W_V writes to dimensions of the head that W_O does not read: neither is 0, and W_OV is."""
    model = flat_model()
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0))).Q
    with torch.no_grad():
        attn = model.blocks[0].attn
        attn.W_V[1], attn.W_O[1] = attn.W_V[1] @ turn[:, :3] @ turn[:, :3].T, turn[:, 3:] @ turn[:, 3:].T @ attn.W_O[1]
        assert 0 < (attn.W_V[1] @ attn.W_O[1]).abs().max() < 1e-5
    assert (composition.composition(forward.weights_of(model), model.cfg)[0, 1, 1] == 0).all()


def test_the_planted_model_has_a_score_for_every_path() -> None:
    model = planted.induction().model
    weights = forward.weights_of(model)
    assert not composition.composition(weights, model.cfg)[EARLIER].isnan().any()
    assert not composition.principal_cosines(weights, model.cfg)[EARLIER].isnan().any()
    assert not scores.ov_copying(weights, model.cfg).isnan().any()


def test_positions_that_are_not_read() -> None:
    model = make_model(1)
    with torch.no_grad():
        model.blocks[0].attn.W_Q[0] = 0
    found = composition.position_composition(forward.weights_of(model), model.cfg)
    assert (found[0, 0] == 0).all()
    assert (found[1] > 0.05).all()
    with torch.no_grad():
        model.pos_embed.W_pos.zero_()
    assert (composition.position_composition(forward.weights_of(model), model.cfg) == 0).all()


def test_copying_of_a_head_that_writes_nothing() -> None:
    model, tokens = make_model(1), torch.stack([torch.randperm(50)[:12] for _ in range(2)])
    with torch.no_grad():
        model.blocks[0].attn.W_O[1] = 0
    weights = forward.weights_of(model)
    by_weights = scores.ov_copying(weights, model.cfg)
    assert by_weights[0, 1] == 0
    assert (by_weights.abs() > 0).sum() == 5
    assert (copying.copying(weights, model.cfg, tokens)[:, 0, 1] == -1).all()


def test_a_graph_says_0_where_chance_leaves_nothing_open() -> None:
    model, graph = make_model(1), nx.DiGraph()
    with torch.no_grad():
        model.blocks[0].attn.W_O[1] = 0
    for source in ("L0H0", "L0H1"):
        graph.add_edge(source, "L1H1", k={"effect": 0.0, "p": 1.0})
    annotated = annotate.with_composition(graph, forward.weights_of(model), model.cfg)
    silent, other = (annotated.edges[source, "L1H1"]["k"] for source in ("L0H1", "L0H0"))
    assert silent["composition_z"] == 0
    assert silent["composition"] == pytest.approx(-(24**-0.5))  # the score itself is 0
    assert np.isfinite(other["composition_z"])
    assert other["composition_z"] != 0


def test_no_gauge_balances_a_rank_that_is_lacking_up_to_rounding() -> None:
    model = make_model(1)
    gauge.balanced(model, torch.arange(8)[None], 1)
    with torch.no_grad():
        attn = model.blocks[1].attn
        mixing = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
        attn.W_K[2] = attn.W_K[2, :, :5] @ mixing
        values = torch.linalg.svdvals(attn.W_K[2].double())
        assert values[-1] > 0  # negative control: it is not exactly of lower rank
    with pytest.raises(NotMeasurable, match="W_Q, W_K of L1H2 are not both of full rank"):
        gauge.balanced(model, torch.arange(8)[None], 1)
