"""Path patching between prompts: on a planted circuit, against TransformerLens, and against hand-made cuts."""

import pytest
import torch
from transformer_lens.tools.analysis.direct_path_patching import get_act_patch_direct_path_all_sources

from ablations import effects, heads
from ablations.patching import path_patching
from ablations.paths import VIAS, Path, all_paths, cut
from tests.conftest import hooked_only, make_model
from tests.planted import planted_induction

pytestmark = pytest.mark.both_majors

GENERATOR = torch.Generator().manual_seed(6)
CLEAN, CORRUPTED = (torch.randint(50, (4, 9), generator=GENERATOR) for _ in range(2))


def right_logit(logits: torch.Tensor) -> torch.Tensor:
    """Of token 3 at the last position, one for each prompt."""
    return logits[:, -1, 3] - logits[:, -1].mean(-1)


@pytest.mark.parametrize("direction", ["noising", "denoising"])
def test_the_planted_path_carries_everything(direction: str) -> None:
    """a b ... a -> b: the corrupted prompts hold another token before b, so that a has not been seen."""
    model = planted_induction()
    clean = torch.tensor([[4, 5, 3, 7, 8, 5], [6, 9, 3, 2, 1, 9]])
    corrupted = clean.clone()
    corrupted[:, 1] = torch.tensor([10, 11])
    paths = all_paths(model.cfg)
    found = path_patching(model, clean, corrupted, [[path] for path in paths], right_logit, direction=direction)
    assert (found.clean - found.corrupted).min() > 5
    sign = -1 if direction == "noising" else 1
    true = paths.index(Path((0, 1), (1, 2), "k"))
    torch.testing.assert_close(found.effect[true], sign * (found.clean - found.corrupted), atol=1e-3, rtol=0.0)
    others = [number for number in range(len(paths)) if number != true]
    assert found.effect[others].abs().max() < 1e-3
    together = path_patching(model, clean, corrupted, [paths], right_logit, direction=direction)
    torch.testing.assert_close(together.effect[0], found.effect[true], atol=1e-3, rtol=0.0)


@hooked_only
def test_frozen_patches_equal_transformer_lens() -> None:
    """TransformerLens adds (clean - corrupted) / the corrupted run's scale, on weights whose norms are folded."""
    model = make_model(8, torch.float64, n_layers=3, normalization_type="LN")
    model.load_and_process_state_dict(model.state_dict(), fold_ln=True, center_writing_weights=True)

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return right_logit(logits).mean()

    (_, clean), (_, corrupted) = (model.run_with_cache(tokens) for tokens in (CLEAN, CORRUPTED))
    kind = {"direction": "denoising", "layer_norm": "freeze"}
    for via in VIAS:
        table = get_act_patch_direct_path_all_sources(model, CORRUPTED, clean, corrupted, metric, component=via)
        paths = [path for path in all_paths(model.cfg) if path.via == via]
        ours = path_patching(model, CLEAN, CORRUPTED, [[path] for path in paths], metric, **kind).patched
        theirs = torch.stack([table[(*path.source, *path.target)] for path in paths])
        # their table is fp32, whatever the model is
        torch.testing.assert_close(ours.float(), theirs.float(), rtol=1e-5, atol=1e-6)
        exact = path_patching(model, CLEAN, CORRUPTED, [[path] for path in paths], metric, direction="denoising")
        assert (exact.patched - ours).abs().max() > 1e-3  # negative control: the norm matters


@pytest.mark.parametrize("layer_norm", ["recompute", "freeze"])
def test_patches_are_cuts_with_the_other_prompts_values(layer_norm: str) -> None:
    model = make_model(9, torch.float64, n_layers=3)
    chosen = [Path((0, 1), (2, 0), "q"), Path((0, 1), (1, 2), "v"), Path((1, 0), (2, 0), "k")]
    found = path_patching(model, CLEAN, CORRUPTED, [chosen], right_logit, layer_norm=layer_norm)
    values = heads.head_z(model, [(0, 1), (1, 0)], CORRUPTED)
    by_hand = right_logit(effects.run(model, CLEAN, cut(model, chosen, values, layer_norm)))
    torch.testing.assert_close(found.patched[0], by_hand, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.effect[0], by_hand - found.clean, rtol=1e-10, atol=1e-10)
    nothing = path_patching(model, CLEAN, CLEAN, [chosen], right_logit, layer_norm=layer_norm)
    assert nothing.effect.abs().max() < 1e-10


def test_bad_prompts_and_paths_are_refused(model) -> None:
    path = [Path((0, 1), (1, 2), "k")]
    with pytest.raises(ValueError, match=r"\[4, 9\] and corrupted prompts \[4, 8\]"):
        path_patching(model, CLEAN, CORRUPTED[:, :8], [path], right_logit)
    with pytest.raises(ValueError, match="is no head"):
        path_patching(model, CLEAN, CORRUPTED, [[Path("embed", (1, 2), "k")]], right_logit)
    with pytest.raises(ValueError, match="earlier layer"):
        path_patching(model, CLEAN, CORRUPTED, [[Path((1, 1), (1, 2), "k")]], right_logit)
