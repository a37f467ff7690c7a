"""Names of heads, and what replaces their output."""

import numpy as np
import pytest
import torch

from ablations import effects, forward, heads, substitutes
from ablations.names import all_heads, check_head, head_name, parse_head
from tests.conftest import make_model

pytestmark = pytest.mark.both_majors

GENERATOR = torch.Generator().manual_seed(3)
TOKENS, DONORS = (torch.randint(50, (3, 11), generator=GENERATOR) for _ in range(2))


@pytest.mark.parametrize("text", ["L1H3", "l1h3", "1:3", "1.3", "a1.h3", " L1H3 "])
def test_heads_are_read_in_every_usual_form(text: str) -> None:
    assert parse_head(text) == (1, 3)
    assert head_name((1, 3)) == "L1H3"


@pytest.mark.parametrize("text", ["", "L1", "H3", "1-3", "L1H3x", "-1:3", "L1H3+L0H0"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a head"):
        parse_head(text)


def test_heads_belong_to_a_model(model) -> None:
    assert all_heads(model.cfg) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    for head in ((2, 0), (0, 3), (-1, 0)):
        with pytest.raises(ValueError, match=r"layers 0 to 1 and heads 0 to 2"):
            check_head(head, model.cfg)


def captured(model, interventions: heads.Interventions, head: tuple[int, int]) -> torch.Tensor:
    """z of a head under interventions."""
    seen: list[torch.Tensor] = []
    watch = (heads.z_hook(head), lambda z, hook: seen.append(z[:, :, head[1]].clone()))
    effects.token_losses(model, TOKENS, [*interventions, watch])
    return seen[0]


def test_each_intervention_puts_its_value_in_place(model) -> None:
    donors = heads.head_z(model, [(1, 2)], DONORS)[1, 2]
    own = heads.head_z(model, [(1, 2)], TOKENS)[1, 2]
    assert (captured(model, heads.zero([(1, 2)]), (1, 2)) == 0).all()
    torch.testing.assert_close(captured(model, heads.mean(model, [(1, 2)], DONORS), (1, 2))[0, 0], donors.mean((0, 1)))
    assert torch.equal(captured(model, heads.resample(model, [(1, 2)], DONORS), (1, 2)), donors)
    assert torch.equal(captured(model, heads.zero([(1, 1)]), (1, 2)), own)  # another head of the layer: untouched
    assert not torch.equal(donors, own)


def test_interventions_concatenate(model) -> None:
    both = effects.token_losses(model, TOKENS, heads.zero([(0, 1)]) + heads.zero([(1, 2)]))
    torch.testing.assert_close(both, effects.token_losses(model, TOKENS, heads.zero([(0, 1), (1, 2)])))
    assert not torch.equal(both, effects.token_losses(model, TOKENS, heads.zero([(0, 1)])))


@pytest.mark.parametrize("by_position", [False, True])
def test_means_agree_with_the_functional_run(by_position: bool) -> None:
    model = make_model(7, torch.float64)
    hooked = heads.mean_z(model, all_heads(model.cfg), TOKENS, by_position)
    functional = substitutes.mean_z(forward.weights_of(model), model.cfg, TOKENS, by_position, rows_at_once=2)
    for head, value in hooked.items():
        assert value.shape == ((11, 6) if by_position else (6,))
        torch.testing.assert_close(functional[head], value, rtol=1e-10, atol=1e-10)


def test_donors_are_rows_of_other_documents_and_depend_on_seed_and_row_alone() -> None:
    documents = np.repeat(np.arange(30)[:, None], 5, axis=1)
    documents[::3, 3:] += 1  # every third row ends in the next row's document
    pool = documents[5:25]
    chosen = heads.other_rows(documents, pool, seed=0, draws=8)
    for row, donors in enumerate(chosen):
        assert len(set(donors.tolist())) == 8
        assert not np.isin(pool[donors], documents[row]).any()
    assert (heads.other_rows(documents[:7], pool, seed=0, draws=8) == chosen[:7]).all()
    assert (heads.other_rows(documents, pool, seed=1, draws=8) != chosen).any()
    by_chance = np.random.default_rng(0).integers(20, size=(30, 8))  # negative control: rows of the document are there
    assert any(np.isin(pool[donors], documents[row]).any() for row, donors in enumerate(by_chance))
    with pytest.raises(ValueError, match="8 donors are needed"):
        heads.other_rows(documents, pool[:8], seed=0, draws=8)


def test_resamples_are_the_donors_values(model) -> None:
    documents = np.repeat(np.arange(6)[:, None], 11, axis=1)
    text = torch.cat([TOKENS, DONORS])
    weights = forward.weights_of(model)
    donors = substitutes.pool(weights, model.cfg, text, documents, rows_at_once=4)
    draws = substitutes.resamples(donors, documents, 2, seed=4)(slice(2, 5))
    chosen = heads.other_rows(documents, documents, seed=4, draws=2)[2:5]
    hooked = heads.head_z(model, [(1, 2)], text)[1, 2]
    for number, values in enumerate(draws):
        torch.testing.assert_close(values[1, 2], hooked[torch.from_numpy(chosen[:, number])])


def test_a_missing_layer_is_named(model) -> None:
    with pytest.raises(ValueError, match="no head L5H0"):
        heads.head_z(model, [(5, 0)], TOKENS)
