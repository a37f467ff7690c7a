"""Models that compute the same have the same heads in the balanced gauge, and the same learning coefficients there."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from ablations import forward
from ablations.models import Model
from llc import gauge, losses
from llc.engine import sample
from llc.estimate import learning_coefficient
from llc.independent import independent_draws
from llc.settings import QUICK, Settings
from tests.conftest import make_model

pytestmark = pytest.mark.both_majors

KINDS = {
    "shortformer": {},
    "standard": {"positional_embedding_type": "standard"},
    "no weights of norms": {"normalization_type": "LNPre"},
    "root mean square": {"normalization_type": "RMS", "positional_embedding_type": "standard"},
    "no norms": {"normalization_type": None},
    "MLPs": {"attn_only": False, "act_fn": "gelu", "d_mlp": 9, "positional_embedding_type": "standard"},
}
LAYERS = (0, 1)


def text(rows: int = 40) -> torch.Tensor:
    return torch.randint(50, (rows, 16), generator=torch.Generator().manual_seed(1))


def small(kind: str) -> Model:
    """A model whose norms' eps is next to nothing, so that the residual stream's scale is free."""
    return make_model(dtype=torch.float64, eps=1e-14, **KINDS[kind])


def normals(*sizes: int) -> torch.Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def rescaled_heads(model: Model) -> Model:
    return gauge.random_gauge(model, 3, spread=4.0)


def other_norm_weights(model: Model) -> Model:
    """Factors of coordinates stand in the norm's weights in place of its readers."""
    factors = normals(24).exp()
    for block in model.blocks:
        for name in ("w", "b"):
            if hasattr(block.ln1, name):
                getattr(block.ln1, name).data /= factors
        for name in ("W_Q", "W_K", "W_V"):
            getattr(block.attn, name).data *= factors[:, None]
    if model.cfg.positional_embedding_type == "shortformer":
        model.pos_embed.W_pos.data /= factors
    return model


def other_norm_biases(model: Model) -> Model:
    for block in model.blocks:
        for name in "QKV":
            weight, bias = getattr(block.attn, f"W_{name}").data, getattr(block.attn, f"b_{name}").data
            bias -= torch.einsum("m,hmd->hd", normals(24), weight)
        block.ln1.b.data += normals(24)
    return model


def other_positions(model: Model) -> Model:
    """All positions are shifted, which queries and keys take back."""
    model.pos_embed.W_pos.data += normals(24)
    for block in model.blocks:
        for name in "QK":
            weight, bias = getattr(block.attn, f"W_{name}").data, getattr(block.attn, f"b_{name}").data
            bias -= torch.einsum("m,hmd->hd", normals(24), weight)
    return model


def other_scale(model: Model) -> Model:
    """The residual stream times 7, in a model with norms."""
    model.embed.W_E.data *= 7
    if model.cfg.positional_embedding_type == "standard":
        model.pos_embed.W_pos.data *= 7
    for block in model.blocks:
        written = [block.attn.W_O, block.attn.b_O]
        written += [] if model.cfg.attn_only else [block.mlp.W_out, block.mlp.b_out]
        for weight in written:
            weight.data *= 7
    return model


def other_scale_without_norms(model: Model) -> Model:
    """The residual stream times 7, and what reads it over 7; queries and keys read the positions beside it."""
    other_scale(model).pos_embed.W_pos.data *= 7
    for weight in (*(getattr(block.attn, f"W_{n}") for block in model.blocks for n in "QKV"), model.unembed.W_U):
        weight.data /= 7
    return model


def written_shifts(model: Model) -> Model:
    """Heads write the same number more to all coordinates."""
    for block in model.blocks:
        block.attn.W_O.data += normals(3, 6, 1)
    return model


def read_shifts(model: Model) -> Model:
    """Values, and without shortformer positions queries and keys, read what is empty after a layer norm."""
    for block in model.blocks:
        empty = 1 / block.ln1.w.data if hasattr(block.ln1, "w") else torch.ones(24, dtype=torch.float64)
        for name in "V" if model.cfg.positional_embedding_type == "shortformer" else "QKV":
            getattr(block.attn, f"W_{name}").data += torch.einsum("hd,m->hmd", normals(3, 6), empty)
            if hasattr(block.ln1, "b"):
                getattr(block.attn, f"b_{name}").data -= normals(3, 6) * (block.ln1.b.data @ empty)
    return model


def value_biases(model: Model) -> Model:
    """Of what heads write to all positions alike, more stands in b_V and less in b_O."""
    for block in model.blocks:
        block.attn.b_V.data += normals(3, 6)
        block.attn.b_O.data -= torch.einsum("hd,hdm->m", normals(3, 6), block.attn.W_O.data)
    return model


def key_biases(model: Model) -> Model:
    for block in model.blocks:
        block.attn.b_K.data += 5
    return model


CHANGES: dict[str, list[Callable[[Model], Model]]] = {
    "shortformer": [other_norm_weights, other_norm_biases, other_positions, other_scale, written_shifts, read_shifts],
    "standard": [other_norm_weights, other_norm_biases, other_scale, written_shifts, read_shifts],
    "no weights of norms": [other_positions, other_scale, written_shifts, read_shifts],
    "root mean square": [other_norm_weights, other_scale],
    "no norms": [other_positions, other_scale_without_norms],
    "MLPs": [other_norm_weights, other_norm_biases, other_scale, written_shifts, read_shifts],
}
EVERYWHERE = [rescaled_heads, value_biases, key_biases]
PAIRS = [(kind, change) for kind, changes in CHANGES.items() for change in (*changes, *EVERYWHERE)]


def outer(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return left @ right.transpose(-1, -2)


def seen(model: Model, layer: int) -> dict[str, torch.Tensor]:
    """All that learning coefficients of a layer's heads depend on: weights up to a rotation of each head's space, what
    the layer reads, and what is written beside it, up to what norms remove.
    """
    weights, cfg = forward.weights_of(model), model.cfg
    heads = forward.head_weights(weights, layer)
    residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, text()), 0, layer)
    read = forward.readings(weights, cfg, layer, residual)
    return {
        "W_Q": outer(heads.W_Q, heads.W_Q),
        "W_K": outer(heads.W_K, heads.W_K),
        "W_V": outer(heads.W_V, heads.W_V),
        "W_O": outer(heads.W_O.transpose(1, 2), heads.W_O.transpose(1, 2)),
        "b_Q": heads.W_Q @ heads.b_Q[:, :, None],
        "b_V": heads.W_V @ heads.b_V[:, :, None],
        "queries": read.query,
        "values": read.value,
        "stream": forward.centred(cfg, residual + weights[f"blocks.{layer}.attn.b_O"]),
    }


@pytest.mark.parametrize(("kind", "change"), PAIRS, ids=lambda part: getattr(part, "__name__", part))
def test_the_same_function_has_the_same_heads(kind: str, change: Callable[[Model], Model]) -> None:
    model, changed = small(kind), change(small(kind))
    torch.testing.assert_close(changed(text()), model(text()), rtol=0, atol=1e-8)
    for layer in LAYERS:
        one, other = (seen(gauge.balanced(each, text(), layer), layer) for each in (model, changed))
        torch.testing.assert_close(other, one, rtol=1e-7, atol=1e-7)
    assert change is key_biases or any(  # the control: as trained they are not the same
        not torch.allclose(seen(changed, layer)[name], seen(model, layer)[name], atol=1e-2)
        for layer in LAYERS
        for name in seen(model, layer)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_is_what_it_says(kind: str) -> None:
    for layer in LAYERS:
        changed = gauge.balanced(small(kind), text(), layer)
        weights, cfg, attn = forward.weights_of(changed), changed.cfg, changed.blocks[layer].attn
        residual = forward.run_layers(weights, cfg, forward.embed(weights, cfg, text()), 0, layer)
        assert forward.centred(cfg, residual).square().mean().item() == pytest.approx(1)
        assert not attn.b_V.any()
        if cfg.normalization_type in ("LN", "RMS"):
            sizes = changed.blocks[layer].ln1.w.square()
            if cfg.positional_embedding_type == "shortformer":
                sizes = sizes + changed.pos_embed.W_pos[:16].square().mean(0)
            torch.testing.assert_close(sizes, torch.ones_like(sizes))
        if cfg.normalization_type in ("LN", "LNPre"):
            assert attn.W_O.mean(-1).abs().max() < 1e-12


def test_coordinates_that_are_not_read() -> None:
    """A norm's weight of 0 leaves the readers' rows free; the balanced gauge sets them to 0."""
    model, other = small("standard"), small("standard")
    for each, row in ((model, 0.3), (other, -2.0)):
        each.blocks[1].ln1.w.data[5] = each.blocks[1].ln1.b.data[5] = 0
        each.blocks[1].attn.W_V.data[:, 5] = row
    torch.testing.assert_close(model(text()), other(text()))
    one, same = (seen(gauge.balanced(each, text(), 1), 1) for each in (model, other))
    torch.testing.assert_close(same, one)
    assert one["W_V"][:, 5].abs().max() == 0


def test_eps_goes_with_the_scale() -> None:
    """Where eps is no trifle the function stays, too."""
    model = make_model(dtype=torch.float64, eps=0.05)
    changed = gauge.balanced(model, text(), 1)
    torch.testing.assert_close(changed(text()), model(text()), rtol=0, atol=1e-10)
    assert model.cfg.eps == 0.05
    assert changed.cfg.eps != 0.05
    assert (model(text()) - make_model(dtype=torch.float64, eps=0.04)(text())).abs().max() > 1e-4


SHORT = Settings("", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=4, num_chains=2, num_draws=100, num_burnin=30)
HEADS = ["L0H1", "L1H2"]


def in_single_precision(model: Model) -> Model:
    single = make_model(eps=1e-14)
    single.load_state_dict(model.state_dict())
    return single


def written_otherwise(model: Model) -> Model:
    for change in (*CHANGES["shortformer"], *EVERYWHERE):
        model = change(model)
    return model


def chains(model: Model, name: gauge.Gauge) -> list[tuple[float, float]]:
    """Coefficients of two heads with their errors, of the divergence from the model itself."""
    traces = sample(model, text(), HEADS, settings=SHORT, seed=0, gauge=name, loss=losses.kl_to(model))
    found = [learning_coefficient(traces[head]) for head in HEADS]
    assert all(one.attrs.get("gauge", "trained") == name for one in found)
    return [(float(one.value), float(one.se)) for one in found]


def draws(model: Model, name: gauge.Gauge) -> list[tuple[float, float]]:
    """The same by independent draws, of which the sensitivity to noise is there without fail."""
    loss = losses.kl_to(model)
    found = independent_draws(model, text(), HEADS, settings=QUICK, seed=0, gauge=name, draws=100, loss=loss)
    return [(float(found[head].noise_value), float(found[head].noise_se)) for head in HEADS]


@pytest.mark.filterwarnings("ignore:.*use chains")
@pytest.mark.parametrize("measure", [chains, draws])
def test_coefficients_are_the_same_in_the_balanced_gauge_alone(measure: Callable) -> None:
    model, other = (
        in_single_precision(each) for each in (small("shortformer"), written_otherwise(small("shortformer")))
    )
    torch.testing.assert_close(other(text()), model(text()), rtol=0, atol=2e-3)
    z = {}
    for name in ("trained", "balanced"):
        pairs = zip(measure(model, name), measure(other, name), strict=True)
        z[name] = [abs(one[0] - same[0]) / np.hypot(one[1], same[1]) for one, same in pairs]
    assert max(z["balanced"]) < 4, z
    assert min(z["trained"]) > 6, z


@pytest.mark.parametrize("restriction", ["full", "L0H1+L1H1", "unembed", "blocks.0.attn.b_O", "L1H0+embed"])
def test_only_heads_of_one_layer_have_a_balanced_gauge(restriction: str) -> None:
    for measure in (sample, independent_draws):
        with pytest.raises(ValueError, match="the gauge is of the heads of one layer"):
            measure(make_model(), text(), [restriction], settings=SHORT, seed=0, gauge="balanced")


def test_layers_and_unions_are_sampled_in_their_own_layers_gauge() -> None:
    model = make_model()
    few = replace(SHORT, num_draws=6, num_burnin=1)
    found = sample(model, text(), ["L1", "L0H0+L0H1", "L1H0"], settings=few, seed=0, gauge="balanced")
    assert list(found) == ["L1", "L0H0+L0H1", "L1H0"]
    for name, layer in (("L1", 1), ("L0H0+L0H1", 0), ("L1H0", 1)):
        alone = sample(gauge.balanced(model, text(), layer), text(), [name], settings=few, seed=0)[name]
        np.testing.assert_array_equal(found[name].loss, alone.loss)
