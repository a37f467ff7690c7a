"""Restrictions select, show and put back; settings refuse what makes no sense."""

from dataclasses import replace

import pytest
import torch

from ablations import forward
from ablations.not_measurable import NotMeasurable
from llc import restrict
from llc.settings import PAPER, from_json
from tests.conftest import hooked_only, make_model

pytestmark = pytest.mark.both_majors

HEAD = 4 * 24 * 6 + 3 * 6


def test_restrictions_select_and_put_back(model) -> None:
    weights = forward.weights_of(model)
    head = restrict.parse("1:2", weights, model.cfg)
    assert (head.name, head.dimension) == ("L1H2", HEAD)
    flat = head.flat(weights)
    moved = head.put(weights, flat + 1)
    for name, weight in weights.items():
        mine = name.startswith("blocks.1.attn") and not name.endswith("b_O") and weight.ndim > 1
        changed = (moved[name] != weight).flatten(1).any(1).tolist() if weight.ndim > 1 else []
        assert changed == [False, False, True] if mine else not any(changed), name
    assert torch.equal(head.flat(head.put(weights, flat * 2)), flat * 2)


def test_sizes_and_names(model) -> None:
    weights = forward.weights_of(model)
    sizes = {
        "full": sum(w.numel() for w in weights.values()),
        "L1": 3 * HEAD,
        "embed": weights["embed.W_E"].numel(),
        "unembed": weights["unembed.W_U"].numel() + 50,
        "L0H1+embed": HEAD + weights["embed.W_E"].numel(),
        "blocks.0.attn.b_O": 24,
    }
    for text, size in sizes.items():
        found = restrict.parse(text, weights, model.cfg)
        assert found.dimension == size == found.flat(weights).numel()
        assert found.name == text
    assert restrict.parse("embed + l0h1", weights, model.cfg) == restrict.parse("L0H1+embed", weights, model.cfg)


def test_a_restriction_shows_what_it_selects(model) -> None:
    found = restrict.parse("L0H1", forward.weights_of(model), model.cfg)
    assert f"L0H1: {HEAD} parameters" in str(found)
    assert "blocks.0.attn.W_Q[1]" in str(found)
    assert "b_O" not in str(found)
    assert "<td>blocks.0.attn.b_K[1]</td><td>(6,)</td><td>6</td>" in found._repr_html_()


@pytest.mark.parametrize(
    "wrong", ["L1H2+1:2", "L7H0", "L9", "nonsense", "L1+L1H0", "L1H0+blocks.1.attn.W_Q", "full+embed", ""]
)
def test_unknown_and_double_selections_are_refused(model, wrong: str) -> None:
    with pytest.raises(ValueError, match=r"restriction|twice"):
        restrict.parse(wrong, forward.weights_of(model), model.cfg)


@hooked_only
def test_heads_that_share_keys_are_refused_and_their_layer_is_not() -> None:
    model = make_model(n_heads=4, n_key_value_heads=2)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    with pytest.raises(NotMeasurable, match="share keys"):
        restrict.parse("L0H1", weights, model.cfg)
    assert restrict.parse("L0", weights, model.cfg).dimension == 24 * 6 * (4 + 2 + 2 + 4) + 6 * (4 + 2 + 2)


def test_key_biases_are_found_where_they_are_free(model) -> None:
    weights = forward.weights_of(model)
    found = restrict.parse("L0H1+embed", weights, model.cfg)
    places = found.key_bias(model.cfg)
    assert torch.equal(found.flat(weights)[places], weights["blocks.0.attn.b_K"][1])
    assert restrict.parse("embed", weights, model.cfg).key_bias(model.cfg) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_draws": 10}, "num_draws=10"),
        ({"lr": 0.0}, "lr=0"),
        ({"localization": -1.0}, "localization=-1"),
        ({"nbeta": -1.0}, "nbeta=-1"),
        ({"num_chains": 0}, "num_chains=0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PAPER, **change)


def test_settings_survive_json() -> None:
    assert from_json(PAPER.to_json()) == PAPER
