"""devinterp's settings, restrictions and samples in our terms and back, against devinterp itself."""

import numpy as np
import pytest
import torch
import xarray as xr
from datasets import Dataset
from devinterp.slt.llc import compute_llc
from devinterp.slt.sampling import sample
from devinterp.slt.weight_restrictions import create_param_masks

from ablations import forward
from llc import devinterp_terms, restrict
from llc.estimate import learning_coefficient
from llc.settings import QUICK
from tests.conftest import GPT2, make_model

CALL = {"lr": 1e-3, "n_beta": 30.0, "localization": 200.0, "batch_size": 4, "num_chains": 2, "num_draws": 12}


@pytest.fixture(scope="module")
def model():
    return make_model(1).requires_grad_(True)


@pytest.fixture(scope="module")
def samples(model, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    tokens = torch.randint(50, (40, 12), generator=torch.Generator().manual_seed(0))
    return sample(
        model,
        Dataset.from_dict({"input_ids": tokens.tolist()}).with_format("torch"),
        observables={},
        param_masks=create_param_masks(model, "l1h2"),
        num_burnin_steps=3,
        num_init_loss_batches=4,
        device="cpu",
        output_path=tmp_path_factory.mktemp("devinterp") / "samples.zarr",
        **CALL,
    )


def test_values_are_those_of_devinterp(samples: xr.DataTree) -> None:
    theirs, trace = compute_llc(samples), devinterp_terms.trace_of(samples, "L1H2")
    assert learning_coefficient(trace).value_all_draws == pytest.approx(float(theirs.llc_scalar), abs=1e-4)
    ours = devinterp_terms.summary_of(trace)
    assert set(ours) == set(theirs)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-4, err_msg=name)
    # the control: burn-in left out is another number
    assert abs(learning_coefficient(trace).value - float(theirs.llc_scalar)) > 1e-3


def test_a_model_pairs_its_samples(samples: xr.DataTree, model) -> None:
    paired, trace = (devinterp_terms.trace_of(samples, "L1H2", given) for given in (model, None))
    rows = torch.from_numpy(samples.dataset.sampling_input_ids_micro.values[0, 5])
    logits = model(rows)[:, :-1].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, rows[:, 1:].flatten()).item()
    assert float(paired.center_loss[5]) == pytest.approx(expected, rel=1e-5)
    # chains start at the center
    assert paired.loss.values[:, 0] == pytest.approx(float(paired.center_loss[0]), rel=1e-5)
    assert learning_coefficient(paired).se < learning_coefficient(trace).se / 3
    other = samples.dataset.copy(deep=True)
    other.sampling_input_ids_micro[1, 2] += 1
    with pytest.raises(ValueError, match="the chains saw different rows"):
        devinterp_terms.trace_of(other, "L1H2", model)


def test_settings_go_there_and_back() -> None:
    again = devinterp_terms.settings_of(QUICK.name, **devinterp_terms.arguments_of(QUICK))
    assert again == QUICK
    found = devinterp_terms.settings_of(
        **CALL, num_burnin_steps=5, num_steps_bw_draws=3, gradient_accumulation_steps=2, init_seed=7, device="cpu"
    )
    assert (found.num_draws, found.num_burnin, found.batch_size, found.nbeta) == (41, 5, 8, 30.0)
    plain = devinterp_terms.settings_of(lr=1e-4, n_beta=10.0)
    assert (plain.localization, plain.batch_size, plain.num_chains, plain.num_draws) == (0.0, 32, 4, 200)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_beta": 3.0}, "lr missing"),
        ({}, "lr and n_beta missing"),
        ({**CALL, "llc_weight_decay": 0.1}, "llc_weight_decay=0.1 has no counterpart"),
        ({**CALL, "sampling_method": "rmsprop_sgld"}, "sampling_method='rmsprop_sgld' has no counterpart"),
        ({**CALL, "bounding_box_size": 1.0}, "bounding_box_size=1.0 has no counterpart"),
        ({**CALL, "lr": -1.0}, "lr=-1.0: it must be positive"),
    ],
)
def test_settings_without_counterpart_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        devinterp_terms.settings_of(**given)


THEIRS = [
    "full",
    "embed",
    "unembed",
    "l0h1",
    "L1 H2",
    "l0",
    "l1 attn",
    "l0 mlp",
    "blocks.0.attn.W_Q",
    ["l0h1", "embed"],
]


@pytest.mark.parametrize("restriction", THEIRS, ids=str)
def test_restrictions_select_the_same_parameters(restriction: str | list[str]) -> None:
    model = make_model(1, **GPT2)
    masks = create_param_masks(model, restriction)
    named = dict(model.named_parameters())
    ours = devinterp_terms.restriction_of(restriction, model)
    parsed = restrict.parse(ours, forward.parameters_of(model), model.cfg)
    selected = dict.fromkeys(masks, 0)
    for (name, _), size in zip(parsed.parts, parsed.sizes, strict=True):
        selected[name] += size
    theirs = {n: named[n].numel() if mask is None else int(mask.expand_as(named[n]).sum()) for n, mask in masks.items()}
    assert selected == theirs


def test_restrictions_go_back() -> None:
    assert devinterp_terms.restriction_from("L0H1") == "l0h1"
    assert devinterp_terms.restriction_from("L0H1+unembed") == ["l0h1", "unembed"]
    assert devinterp_terms.restriction_from("blocks.0.attn.W_Q") == "blocks.0.attn.W_Q"
    with pytest.raises(ValueError, match="L0 is all heads of a layer"):
        devinterp_terms.restriction_from("L0+unembed")
    for wrong in ("l9", "l0g0", "mlp"):
        with pytest.raises(ValueError, match=f"'{wrong}' selects nothing of this model"):
            devinterp_terms.restriction_of(wrong, make_model(1))
