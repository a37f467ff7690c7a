"""Tokens' losses along chains: those of the model itself, the same by both paths, and no part of the chains."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

from ablations import forward
from llc import chains, engine, losses, restrict
from llc.probes import Probes
from llc.trace import Recorder
from tests.conftest import make_model
from tests.llc.conftest import SHORT

pytestmark = pytest.mark.both_majors

TOKENS = torch.randint(50, (37, 12), generator=torch.Generator().manual_seed(2))
TEXT = torch.randint(50, (5, 10), generator=torch.Generator().manual_seed(3))
EVERY_DRAW = Probes(TEXT, every=1)
MOMENTS = ("phi", "phi_square", "probe_rise", "probe_square", "probe_product", "probe_exponential", "row_product")


@pytest.fixture(scope="module")
def followed() -> dict[str, list[np.ndarray]]:
    """Rises of all probes [chain, row, predicted] at the draws after the burn-in, by the model's own forward."""
    model = make_model(1)
    weights, predict = forward.parameters_of(model), losses.predictor(model)
    found: dict[str, list[np.ndarray]] = {"L0H1": [], "L1H2": []}
    draw = Recorder.draw

    def seen(recorder: Recorder, *arguments) -> None:
        if recorder.draws >= SHORT.num_burnin:
            part = restrict.parse(str(recorder.attrs["restriction"]), weights, model.cfg)
            moved = [part.put(weights, position) for position in (*recorder.state.position, recorder.center)]
            logs = torch.stack([predict(own, TEXT).log_softmax(-1) for own in moved]).detach()
            of_text = -logs.gather(-1, TEXT[None, :, 1:, None].expand(len(logs), -1, -1, -1))[..., 0].double()
            found[part.name].append((of_text[:-1] - of_text[-1]).numpy())
        draw(recorder, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "draw", seen)
        engine.sample(model, TOKENS, list(found), settings=SHORT, seed=0)
    return found


@pytest.mark.parametrize("path", ["fast", "general"])
@pytest.mark.parametrize("every", [1, 3])
def test_moments_are_those_of_the_tokens_losses(followed: dict, path: engine.Path, every: int) -> None:
    weights = torch.linspace(0, 1, 45).view(5, 9)
    probes = Probes(TEXT, every, weights)
    traces = engine.sample(make_model(1), TOKENS, list(followed), settings=SHORT, seed=0, probes=probes, path=path)
    share = (weights.double() / weights.double().sum()).numpy()
    for name, trace in traces.items():
        rises = np.stack(followed[name][::every])
        phi, rows = (rises * share).sum((2, 3)), rises.mean(3)
        truth = {
            "phi": phi,
            "phi_square": phi**2,
            "probe_rise": rises,
            "probe_square": rises**2,
            "probe_product": phi[:, :, None, None] * rises,
            "probe_exponential": np.exp(-rises),
            "row_product": rows[..., :, None] * rows[..., None, :],
        }
        for moment, values in truth.items():
            np.testing.assert_allclose(trace[moment], values.mean(0), atol=2e-5, err_msg=f"{name} {moment}")
            assert abs(trace[moment] - np.roll(values, 1, -1).mean(0)).max() > 1e-4 or moment.startswith("phi")
        assert trace.attrs["probe_draws"] == len(rises)
        np.testing.assert_allclose(trace.probe_share, share)


def test_what_is_followed_changes_no_chain() -> None:
    sample = partial(engine.sample, make_model(1), TOKENS, ["L0H1", "unembed"], settings=SHORT, seed=0)
    plain, watched = sample(), sample(probes=EVERY_DRAW)
    for name, trace in watched.items():
        xr.testing.assert_identical(trace[list(plain[name].data_vars)].drop_attrs(), plain[name].drop_attrs())
        assert set(MOMENTS) < set(trace.data_vars) - set(plain[name].data_vars)


def test_rows_of_a_text_that_does_not_fit_the_cache_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = partial(engine.sample, make_model(1), TOKENS, ["L0H1", "L1H0"], settings=SHORT, seed=0, probes=EVERY_DRAW)
    whole = sample()
    monkeypatch.setattr("llc.minibatch.CACHE", 2**14)
    monkeypatch.setattr("llc.minibatch.KEPT", 0)
    monkeypatch.setattr("llc.cross_entropy.CHUNK_BYTES", {"cpu": 1})
    for name, trace in sample().items():
        for moment in MOMENTS:
            np.testing.assert_allclose(trace[moment], whole[name][moment], atol=2e-5)


def test_a_model_with_mlps_and_the_balanced_gauge_follow_probes_too() -> None:
    with_mlps = make_model(1, attn_only=False, act_fn="gelu", d_mlp=16)
    sample = partial(engine.sample, with_mlps, TOKENS, ["L0H1"], settings=SHORT, seed=0, probes=EVERY_DRAW)
    fast, general = sample()["L0H1"], sample(path="general")["L0H1"]
    assert fast.attrs["path"].startswith("fast")
    np.testing.assert_allclose(fast.probe_product, general.probe_product, atol=2e-5)
    model = make_model(1)
    both = [
        engine.sample(model, TOKENS, ["L0H1"], settings=SHORT, seed=0, probes=EVERY_DRAW, gauge=gauge)["L0H1"]
        for gauge in ("trained", "balanced")
    ]
    np.testing.assert_allclose(both[0].probe_center, both[1].probe_center, atol=1e-4)
    assert abs(both[0].probe_rise - both[1].probe_rise).max() > 1e-3


def test_a_chain_that_diverges_is_nan() -> None:
    wild = replace(SHORT, lr=1e12)
    trace = engine.sample(make_model(1), TOKENS, ["L0H1"], settings=wild, seed=0, probes=EVERY_DRAW)["L0H1"]
    assert not np.isfinite(trace.phi_square).all()


BAD = {
    "every=0": Probes(TEXT, every=0),
    r"weights \[5, 10\] of probes: give one for each predicted token, \[5, 9\]": Probes(TEXT, 1, torch.ones(5, 10)),
    "weights of probes must be finite and not negative": Probes(TEXT, 1, -torch.ones(5, 9)),
    "one of them positive": Probes(TEXT, 1, torch.zeros(5, 9)),
    "token": Probes(TEXT + 50),
}


@pytest.mark.parametrize("words", BAD)
def test_bad_probes_are_named(words: str) -> None:
    with pytest.raises(ValueError, match=words):
        engine.sample(make_model(1), TOKENS, ["L0H1"], settings=SHORT, seed=0, probes=BAD[words])


def test_the_general_paths_own_sampler_follows_them() -> None:
    model = make_model(1)
    part = restrict.parse("L1H2", forward.parameters_of(model), model.cfg)
    own = chains.sample(model, TOKENS, part, loss=losses.next_token(), settings=SHORT, seed=0, probes=EVERY_DRAW)
    assert set(MOMENTS) < set(own.data_vars)
