"""The flag on linear estimates: its terms are those of the effect's expansion, and it fires where it should."""

import numpy as np
import pytest
import torch

from ablations import forward, rerun
from ablations.changes import Change
from ablations.paths import Path
from circuits import planted
from circuits.attributions.eap import eap
from circuits.attributions.second_order import Terms, second_order
from circuits.discover import candidates, exact
from circuits.discover_exact import both_runs, last_logits
from circuits.tasks import logit_difference
from tests.circuits.attributions.test_attributions import made, task
from tests.conftest import GPT2, PYTHIA

PATHS = [
    *(Path("embed", (0, 1), via) for via in "qkv"),
    *(Path((0, 2), (1, 0), via) for via in "qkv"),
    *(Path("embed", "output"), Path((1, 1), "output")),
]


def scaled(weights, cfg, path: Path, share: float) -> np.ndarray:
    """The exact effect of a share of the change, by the runs that discovery patches with."""
    clean, corrupted = both_runs(weights, cfg, task())
    if isinstance(path.source, str):
        start, end = (weights["embed.W_E"][tokens] for tokens in (task().clean, task().corrupted))
    else:
        start, end = (run.z[path.source[0]][:, :, path.source[1]] for run in (clean, corrupted))
    run = rerun.prepare(weights, cfg, clean, {path.source: start + share * (end - start)})
    moved, still = (last_logits(run, change) for change in (Change(cuts=(path,)), Change()))
    return (logit_difference(task(), moved) - logit_difference(task(), still)).numpy()


@pytest.mark.parametrize("kind", [{}, GPT2, PYTHIA])
def test_both_terms_are_those_of_the_expansion(kind: dict) -> None:
    """What is left is of third order: an eighth for half the change; a quarter without the second term."""
    weights, cfg = made(**kind)
    terms = second_order(weights, cfg, task(), PATHS)
    np.testing.assert_allclose(terms.first, eap(weights, cfg, task(), PATHS).effect, rtol=1e-6, atol=1e-9)
    for path, first, second in zip(PATHS, *terms, strict=True):
        at, half = (scaled(weights, cfg, path, share) - share * first for share in (0.02, 0.01))
        ratio = (np.linalg.norm(at) / np.linalg.norm(half), 4)
        assert ratio[0] == pytest.approx(ratio[1], rel=0.15)  # the control
        left = (np.linalg.norm(at - 0.02**2 * second), np.linalg.norm(half - 0.01**2 * second))
        assert left[0] / left[1] == pytest.approx(8, rel=0.15)


def test_linear_paths_have_no_second_term() -> None:
    weights, cfg = made(normalization_type=None)
    last = cfg.n_layers - 1
    straight = [Path((0, 0), "output"), Path("embed", "output"), Path((0, 1), (last, 2), "v")]
    terms = second_order(weights, cfg, task(), straight)
    assert abs(terms.second).max() < 1e-12 and abs(terms.first).max(1).min() > 1e-2
    assert not terms.flagged(1e-9).any()
    bent = second_order(weights, cfg, task(), [Path((0, 1), (last, 2), "k"), Path((0, 1), (last, 2), "q")])
    assert (bent.ratio() > 1e-3).all()  # the control


def test_the_flag_is_up_where_the_planted_softmax_is_saturated() -> None:
    plant = planted.induction()
    weights, cfg, asked = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    into = [Path("embed", (0, 1), "v"), Path((0, 1), (1, 2), "k")]
    terms, true = second_order(weights, cfg, asked, into), exact(weights, cfg, asked, into).effect.mean(1)
    assert (abs(terms.first.mean(1) - true) > 0.9 * abs(true)).all() and (true < -1).all()
    assert terms.flagged().all()
    unscaled = planted.induction(layer_norm=False)
    weights, cfg = forward.weights_of(unscaled.model), unscaled.model.cfg
    straight = [path for path in candidates(cfg) if path.target == "output"]
    terms = second_order(weights, cfg, asked, straight)
    np.testing.assert_allclose(terms.first, exact(weights, cfg, asked, straight).effect, atol=1e-4)
    assert not terms.flagged(1e-6).any()  # the control: linear, and right


def test_the_ratio_by_hand() -> None:
    terms = Terms(
        np.array([[1.0, 3.0], [0.0, 0.0], [0.0, 0.0], [-2.0, -2.0]]), np.array([[1, -2], [0, 0], [0, 1], [1, 1]]) * 1.0
    )
    assert terms.ratio().tolist() == [0.25, 0.0, np.inf, 0.5]
    assert terms.flagged().tolist() == [True, False, True, True]
    assert terms.flagged(0.3).tolist() == [False, False, True, True]


def test_models_in_single_precision_are_measured_in_double() -> None:
    weights, cfg = made()
    single = {name: value.float() for name, value in weights.items()}
    one, other = (second_order(each, cfg, task(), PATHS) for each in (weights, single))
    assert one.second.dtype == other.second.dtype == np.float64
    np.testing.assert_allclose(other.second, one.second, rtol=1e-3, atol=1e-5)
    assert all(value.dtype == torch.float32 for value in single.values())
