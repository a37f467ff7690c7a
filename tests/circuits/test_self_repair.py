"""Self-repair: a planted backup head takes over the known share, parts sum to the whole, and nothing repairs alone."""

import numpy as np
import pytest
import torch
import xarray as xr

from ablations import effects, forward, heads
from ablations.models import Model
from circuits import planted, planted_prompts
from circuits.discover import path_effects
from circuits.planted_layout import ANSWER
from circuits.self_repair import PARTS, self_repair
from circuits.tasks import Task, logit_difference
from tests.conftest import GPT2, PYTHIA, make_model
from tests.planted import MADE_UP, backed_up


def random_task(model: Model, prompts: int = 8) -> Task:
    generator = torch.Generator().manual_seed(3)
    clean, corrupted = (torch.randint(model.cfg.d_vocab, (prompts, 9), generator=generator) for _ in range(2))
    right = torch.randint(model.cfg.d_vocab, (prompts,), generator=generator)
    return Task("random", clean, corrupted, right, (right + 7) % model.cfg.d_vocab)


def measured(model: Model, task: Task, of=None) -> xr.Dataset:
    return self_repair(forward.weights_of(model), model.cfg, task, of)


def test_a_backup_head_makes_up_for_the_known_share() -> None:
    found = measured(backed_up(), planted_prompts.skips(0)).sel(patched="L0H2")
    assert float(found.direct) == pytest.approx(-ANSWER, abs=1e-4)
    assert float(found.total) == pytest.approx(-(1 - MADE_UP) * ANSWER, abs=1e-4)
    assert float(found.through.sel(head="L1H1")) == pytest.approx(MADE_UP * ANSWER, abs=1e-4)
    assert float(found.through.drop_sel(head="L1H1").max()) < 1e-4
    assert float(found.repaired) == pytest.approx(MADE_UP, abs=1e-5)
    assert float(found.scale) == pytest.approx(0, abs=1e-4)


def test_a_head_that_does_not_read_the_first_repairs_nothing() -> None:
    """The negative control: the same two heads say the same, but the second is not told of the first."""
    found = measured(backed_up(inhibited=False), planted_prompts.skips(0)).sel(patched="L0H2")
    assert float(found.direct) == pytest.approx(-ANSWER, abs=1e-4)
    assert float(found.total) == pytest.approx(-ANSWER, abs=1e-4)
    assert float(found.repaired) == pytest.approx(0, abs=1e-5)


def test_the_final_norm_repairs_a_part_by_itself() -> None:
    """One head alone, no later one: with a norm what is left is divided by less, without one nothing happens."""
    task = planted.skip_trigram().tasks[0]
    normed, plain = (measured(planted.skip_trigram(norm).model, task).sel(patched="L0H2") for norm in (True, False))
    for found in (normed, plain):
        assert float(found.later) == pytest.approx(0, abs=1e-4) and float(found.direct) < -7
    assert float(plain.scale) == pytest.approx(0, abs=1e-4)
    shared = backed_up(inhibited=False, layer_norm=True)
    left = measured(shared, planted_prompts.skips(0)).sel(patched="L0H2")
    assert abs(float(left.later)) < 0.1 and float(left.scale) > 0.5  # the other head's word is divided by less
    assert float(left.repaired) == pytest.approx(float(left.scale + left.later) / -float(left.direct), abs=1e-5)


def test_a_head_that_is_needed_later_has_an_indirect_effect_of_the_same_sign() -> None:
    plant = planted.induction()
    found = measured(plant.model, plant.tasks[0]).sel(patched="L0H1")
    assert abs(float(found.direct)) < 1e-3 and float(found.total) < -7
    assert float(found.through.sel(head="L1H2")) == pytest.approx(float(found.total), abs=0.1)
    bare = planted.induction(removed=True)
    assert abs(measured(bare.model, bare.tasks[0]).total).max() < 1e-3


@pytest.mark.parametrize(
    "shape",
    [{}, {"normalization_type": None}, {"normalization_type": "RMS"}, {"n_layers": 3}, {"n_layers": 1}, GPT2, PYTHIA],
)
def test_parts_sum_to_the_whole_which_hooks_find_too(shape: dict) -> None:
    model = make_model(dtype=torch.float64, **shape)
    task = random_task(model)
    found = measured(model, task)
    whole = found.direct + found.through.sum("head") + found.mlps + found.scale
    assert np.allclose(whole, found.total, atol=1e-10) and np.allclose(found.total - found.direct, found.indirect)
    assert (abs(found.mlps) < 1e-10).all() == model.cfg.attn_only
    if model.cfg.normalization_type is None:
        assert abs(found.scale).max() < 1e-10
    if model.cfg.n_layers == 1 and model.cfg.attn_only:
        assert abs(found.later).max() == 0  # nothing comes after
    _, cache = model.run_with_cache(task.corrupted)
    for name in ("L0H1", f"L{model.cfg.n_layers - 1}H2"):
        layer, head = int(name[1]), int(name[3])
        hooks = heads.replace({(layer, head): cache[f"blocks.{layer}.attn.hook_z"][:, :, head]})
        after = logit_difference(task, effects.run(model, task.clean, hooks))
        total = (after - logit_difference(task, model(task.clean))).mean().detach()
        assert float(found.total.sel(patched=name)) == pytest.approx(float(total), abs=1e-9)


def test_the_direct_effect_is_that_of_the_path_to_the_output_with_its_norm_frozen() -> None:
    model = make_model()
    task = random_task(model)
    found = measured(model, task)
    paths = path_effects(model, task, [f"{name}->output" for name in found.patched.values], layer_norm="freeze")
    assert np.allclose(found.direct, paths.effect.mean(1), atol=1e-4)
    free = path_effects(model, task, [f"{name}->output" for name in found.patched.values])
    assert not np.allclose(found.direct, free.effect.mean(1), atol=1e-4)  # the control


def test_of_a_path_into_a_head_the_target_is_direct() -> None:
    model = make_model(n_layers=3)
    task = random_task(model)
    found = measured(model, task, ["L0H1->L1H2.k", "L1H0->L2H1.v"])
    exact = path_effects(model, task, found.patched.values.tolist())
    assert np.allclose(found.total, exact.effect.mean(1), atol=1e-4)
    assert abs(float(found.later[0])) > 1e-4 and float(found.later[1]) == 0
    assert np.allclose(found.total_se, exact.effect.std(1, ddof=1) / 8**0.5, atol=1e-5)
    assert np.allclose(found.total_half, 2.364624 * found.total_se, atol=1e-5)  # Student's t, 7 degrees


def test_the_share_is_not_told_where_there_is_no_direct_effect() -> None:
    plant = planted.induction(layer_norm=False)
    found = measured(plant.model, plant.tasks[0])
    assert np.isnan(found.repaired.sel(patched="L0H0")) and np.isnan(found.repaired_half.sel(patched="L0H0"))
    assert float(found.repaired.sel(patched="L1H2")) == pytest.approx(0, abs=1e-5)
    assert set(PARTS) < set(found)


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (["L1H2->output"], "L1H2->output: it is into no head"),
        (["L0H1+L0H2"], "'L0H1\\+L0H2' is several"),
        (["L7H0"], "no head L7H0"),
        ([], "8 prompts, 0 heads or paths"),
    ],
)
def test_bad_calls_are_refused(of: list[str], message: str) -> None:
    model = make_model()
    with pytest.raises(ValueError, match=message):
        measured(model, random_task(model), of)
