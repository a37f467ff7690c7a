"""Removals and discovery run on the device of the weights, and hand their numbers over on the CPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import changed_losses, forward, padding, rerun, substitutes
from ablations.changes import parse_change
from ablations.forward import Weights
from ablations.padding import Padding
from circuits import discover
from circuits.tasks import Task
from experiments import runs
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from tests.conftest import GPT2, PYTHIA, make_model
from tests.elsewhere import DEVICE, Elsewhere, elsewhere

TOKENS = torch.randint(1, 50, (6, 12), generator=torch.Generator().manual_seed(1))
DOCUMENTS = np.arange(6)[:, None].repeat(12, 1)
CHANGES = [parse_change(text) for text in ("L1H0", "L0H1", "L0H1->L1H2.k", "L0H1->output", "L0H0+L1H1")]
KINDS = {"attention-only": {}, "gpt2": GPT2, "pythia": PYTHIA}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def moved(weights: Weights) -> Weights:
    """The weights on the other device, inside its block; the mark of padding is read on the CPU."""
    return {n: tensor if n == padding.PADDING else tensor.detach().to(DEVICE) for n, tensor in weights.items()}


def every_loss(weights: Weights, cfg: object, stand_in: Callable[[Weights], substitutes.Substitutes]) -> list:
    blocks = changed_losses.blocks(weights, cfg, TOKENS, CHANGES, stand_in(weights), rows_at_once=4)  # type: ignore[arg-type]
    return [part for block in blocks for part in (block.clean, block.changed)]


@every_kind
@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
def test_removals_are_the_same_elsewhere(kind: dict, method: str) -> None:
    model = make_model(0, **kind)
    weights, cfg = forward.weights_of(model), model.cfg

    def stand_in(own: Weights) -> substitutes.Substitutes:
        if method == "resample":
            return substitutes.resamples(substitutes.pool(own, cfg, TOKENS, DOCUMENTS), DOCUMENTS, 2, 0)
        return substitutes.zeros(cfg) if method == "zero" else substitutes.means(own, cfg, TOKENS)

    here = every_loss(weights, cfg, stand_in)
    with elsewhere():
        there = every_loss(moved(weights), cfg, stand_in)
    assert not any(isinstance(part, Elsewhere) for part in there)
    assert all(torch.equal(one, other) for one, other in zip(here, there, strict=True))


def test_padded_rows_are_the_same_elsewhere() -> None:
    model = make_model(0)
    weights = forward.weights_of(model) | padding.mark(Padding(0, left=True, begins=False, ends=False))
    tokens = TOKENS.clone()
    tokens[::2, :3] = 0
    blocks = [changed_losses.blocks(weights, model.cfg, tokens, CHANGES, substitutes.zeros(model.cfg))]
    with elsewhere():
        blocks += [changed_losses.blocks(moved(weights), model.cfg, tokens, CHANGES, substitutes.zeros(model.cfg))]
        (here,), (there,) = map(list, blocks)
    assert torch.equal(here.changed.nan_to_num(7), there.changed.nan_to_num(7)) and here.changed.isnan().any()


@every_kind
def test_discovery_is_the_same_elsewhere(kind: dict) -> None:
    model = make_model(0, **kind)
    weights, cfg = forward.weights_of(model), model.cfg
    task = Task("random", TOKENS, TOKENS.flip(0), TOKENS[:, 0], TOKENS[:, 1])
    paths = discover.candidates(cfg)
    here = discover.exact(weights, cfg, task, paths)
    with elsewhere():
        there = discover.exact(moved(weights), cfg, task, paths)
    assert np.array_equal(here.effect, there.effect) and np.abs(here.effect).max() > 1e-3


@pytest.mark.parametrize("method", ablation_pass.METHODS)
def test_a_pass_over_text_is_the_same_elsewhere(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.open_run("mini-seed0")
    asked = AblationPass(("L1H4", "L0H5->L1H4.k"), 28000, 8 * 255, method, lists=True)
    here, there = (Cells(tmp_path / name, run, default_plan("python", 256)) for name in ("here", "there"))
    on_cpu = ablation_pass.means(here, asked)
    own = forward.weights_of
    with elsewhere():
        monkeypatch.setattr(forward, "weights_of", lambda model: moved(own(model)))
        monkeypatch.setattr(ablation_pass, "_POOLS", type(ablation_pass._POOLS)(1))
        assert ablation_pass.means(there, asked).identical(on_cpu)


def test_the_other_device_refuses_what_a_gpu_refuses() -> None:
    weights = forward.weights_of(make_model(0))
    cfg = make_model(0).cfg
    with elsewhere():
        there = moved(weights)
        assert isinstance(there["embed.W_E"], Elsewhere) and there["embed.W_E"].device == DEVICE
        with pytest.raises(RuntimeError, match="same device: add has some on the CPU"):
            _ = there["embed.W_E"] + weights["embed.W_E"]
        run = rerun.clean_run(there, cfg, TOKENS)
        assert isinstance(run.residuals[-1], Elsewhere)
        values = {(0, 1): torch.ones(6)}  # which `prepare` moves
        with pytest.raises(RuntimeError, match="same device"):
            rerun.final_residual(rerun.Run(there, cfg, run, values, "recompute", {}, {}), CHANGES[2])
        assert rerun.final_residual(rerun.prepare(there, cfg, run, values), CHANGES[2]).isfinite().all()
