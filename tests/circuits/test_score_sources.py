"""Scores taken apart: the parts sum to what TransformerLens's hooks see, and say what a planted head reads."""

import numpy as np
import pytest
import torch

from ablations import forward
from circuits import planted
from circuits.score_sources import score_sources, strongest_places
from tests.conftest import GPT2, make_model

PLACES = np.array([[0, 5, 2], [1, 7, 7], [2, 3, 0], [2, 9, 4]])


def hooked(model, tokens: torch.Tensor, head: tuple[int, int]) -> torch.Tensor:
    """Scores [row, query, key] as the model's own hook sees them."""
    _, cache = model.run_with_cache(tokens)
    return cache[f"blocks.{head[0]}.attn.hook_attn_scores"][:, head[1]]


@pytest.mark.parametrize("changes", [{}, {"positional_embedding_type": "rotary", "rotary_dim": 4}, GPT2])
@pytest.mark.parametrize("head", [(0, 1), (1, 2)])
def test_parts_sum_to_the_score_and_contrasts_to_its_own(changes: dict, head: tuple[int, int]) -> None:
    model = make_model(1, torch.float64, **changes)
    tokens = torch.randint(model.cfg.d_vocab, (3, 10), generator=torch.Generator().manual_seed(0))
    weights = forward.weights_of(model)
    found = score_sources(weights, model.cfg, tokens, head, PLACES)
    expected = hooked(model, tokens, head)
    for place, (row, query, key) in enumerate(PLACES.tolist()):
        seen = expected[row, query, : query + 1].detach()
        assert float(found.score[place].sum()) == pytest.approx(float(seen[key]), abs=1e-9)
        others = torch.cat([seen[:key], seen[key + 1 :]]).mean()
        assert float(found.contrast[place].sum()) == pytest.approx(float(seen[key] - others), abs=1e-9)
        assert float(found.attention[place]) == pytest.approx(float(seen.softmax(0)[key]), abs=1e-9)
        assert abs(float(found.score[place].sum()) - float(seen[key - 1])) > 1e-6  # the control: another key
    if "rotary_dim" not in changes:  # the key's own bias is the same everywhere but for the norm's scale
        same = found.contrast.sel(key_source="bias")
        assert abs(same).max() < 1e-9 < abs(found.score.sel(key_source="bias")).max()


def test_a_query_that_sees_one_key_has_no_contrast() -> None:
    model = make_model(1)
    tokens = torch.zeros(1, 4, dtype=torch.int64)
    found = score_sources(forward.weights_of(model), model.cfg, tokens, (0, 0), np.array([[0, 0, 0], [0, 1, 0]]))
    assert np.isnan(found.contrast[0]).all() and np.isfinite(found.contrast[1]).all()


def test_a_planted_induction_head_looks_where_the_previous_token_head_wrote() -> None:
    plant = planted.induction()
    weights, cfg, tokens = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0].clean
    places = strongest_places(weights, cfg, tokens, (1, 2), 20)
    found = score_sources(weights, cfg, tokens, (1, 2), places)
    assert (found.attention > 0.5).all() and (np.diff(found.attention) <= 1e-6).all() and (places[:, 2] > 0).all()
    mean = found.contrast.mean("place")
    at = np.unravel_index(int(abs(mean).values.argmax()), mean.shape)
    assert (found.query_source.values[at[0]], found.key_source.values[at[1]]) == ("embed", "L0H1")
    share = mean.values[at] / float(mean.sum())
    assert share > 0.8
    other = found.contrast.mean("place").sel(query_source="embed", key_source="L0H0")  # the control: a decoy
    assert abs(float(other)) < 0.1 * mean.values[at]


@pytest.mark.parametrize("place", [[3, 0, 0], [0, 2, 3], [0, 10, 0], [-1, 2, 1]])
def test_places_that_there_are_not_are_refused(place: list[int]) -> None:
    model = make_model(1)
    tokens = torch.zeros(3, 10, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"row, query, key\) is not in \[3, 10\] tokens, or its key"):
        score_sources(forward.weights_of(model), model.cfg, tokens, (0, 0), np.array([place]))
