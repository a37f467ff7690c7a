"""How far back heads look on random tokens, and what is left of a head that looks at the token itself alone."""

from pathlib import Path

import numpy as np
import torch

from ablations.names import all_heads, head_name
from experiments import runs
from experiments.heldout import ablation_pass, type_passes
from experiments.heldout.ablation_pass import AblationPass
from experiments.measurements.offsets import OFFSETS
from experiments.results.cells import Cells
from experiments.results.plan import default_plan

TOKENS = 600


def cells_of(trained: Path, folder: Path) -> Cells:
    run = runs.open_run(trained / "runs/tiny-seed0")
    return Cells(folder, run, default_plan(run.config["preset"]["corpus"], 64))


def test_offsets_are_those_of_the_models_own_patterns(trained: Path, tmp_path: Path) -> None:
    here = cells_of(trained, tmp_path)
    found, model = here.get(OFFSETS, 60), here.run.model(60)
    rows = here.inputs.random(here.plan.score_sequences, here.plan.period).tokens
    _, cache = model.run_with_cache(rows)
    for layer, head in all_heads(model.cfg):
        pattern = cache["pattern", layer][:, head]
        for back in (0, 1, 5):
            mean = float(pattern.diagonal(offset=-back, dim1=-2, dim2=-1)[:, back == 0 :].mean())
            assert abs(float(found.back.sel(restriction=head_name((layer, head)), offset=back)) - mean) < 1e-5
    assert found.back_se.values.min() > 0
    untrained = here.get(OFFSETS, 0)
    assert not np.allclose(untrained.back.values, found.back.values, atol=0.01)  # negative control


def test_a_head_that_attends_to_itself_is_removed_so_in_a_pass(trained: Path, tmp_path: Path) -> None:
    here = cells_of(trained, tmp_path)
    asked = AblationPass(("L0H1", "L1H2"), 60, TOKENS, ablation_pass.ITSELF)
    means = ablation_pass.means(here, ablation_pass.check(asked, here.inputs))
    rows, model = ablation_pass.rows_of(asked, here.inputs).batch(slice(None)), here.run.model(60)
    text = rows[:, 1:] != rows[0, 0]

    def losses(hooks: list) -> torch.Tensor:
        return model.run_with_hooks(rows, return_type="loss", loss_per_token=True, fwd_hooks=hooks)[text].double()

    for name, (layer, head) in {"L0H1": (0, 1), "L1H2": (1, 2)}.items():

        def itself(pattern, hook, head=head):
            pattern[:, head] = torch.eye(pattern.shape[-1])
            return pattern

        expected = float((losses([(f"blocks.{layer}.attn.hook_pattern", itself)]) - losses([])).mean())
        assert abs(float(means.effect.sel(change=name)) - expected) < 1e-5
        mean = ablation_pass.means(here, AblationPass((name,), 60, TOKENS, "mean")).effect
        assert abs(float(mean[0]) - expected) > 1e-4  # negative control: another way to remove it


def test_direct_paths_of_induction_heads_are_in_every_pass_of_types(trained: Path, tmp_path: Path, monkeypatch) -> None:
    here = cells_of(trained, tmp_path)
    asked = AblationPass(("L0H1",), 60, TOKENS, "mean", keep=True)
    assert type_passes.direct(here, asked).what == ("L0H1->output",)  # the tiny run has no induction head
    monkeypatch.setattr("circuits.classify.PREFIX_MATCHING", 0.0)
    every = tuple(f"{head_name(head)}->output" for head in all_heads(here.run.model_config()))
    assert sorted(type_passes.direct(here, asked).what) == sorted(every)
    readers = "+".join(f"L0H1->L1H{reader}.k" for reader in range(4))
    assert type_passes.through_keys(here, "L0H1") == readers and type_passes.through_keys(here, "L1H1") == ""
