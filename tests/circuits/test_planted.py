"""Plants do what they are made to, with and without layer norms; their circuits are found, and nothing without them."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from ablations import forward, patching, rerun
from ablations.changes import Change
from ablations.names import all_heads
from ablations.paths import Path
from circuits import answer_tests, discover, discover_exact, planted
from circuits.planted import PLANTS, Plant
from circuits.tasks import Task, accuracy, logit_difference

pytestmark = pytest.mark.both_majors

NAMES = [plant.__name__ for plant in PLANTS]


def found_edges(plant: Plant, task: Task) -> discover.Effects:
    weights = forward.weights_of(plant.model)
    return discover.exact(weights, plant.model.cfg, task, discover.candidates(plant.model.cfg))


def area_under_curve(plant: Plant, edges: frozenset[Path], found: discover.Effects) -> float:
    """Of true edges against all others by the size of their effects; edges of which any one is enough are left out."""
    kept = [number for number, path in enumerate(found.paths) if path not in plant.redundant]
    true = [found.paths[number] in edges for number in kept]
    return float(roc_auc_score(true, np.abs(found.effect.mean(1))[kept]))


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("make", PLANTS, ids=NAMES)
def test_a_plant_does_its_tasks_through_its_edges_alone(make, layer_norm: bool) -> None:
    plant = make(layer_norm)
    for task, edges in zip(plant.tasks, plant.edges, strict=True):
        with torch.no_grad():
            assert accuracy(task, plant.model(task.clean)) == 1
            assert accuracy(task, plant.model(task.corrupted)) < 0.2
        weights = forward.weights_of(plant.model)
        circuit = discover.evaluate(weights, plant.model.cfg, task, sorted(edges, key=str))
        assert circuit.faithfulness == pytest.approx(1, abs=0.02)
        assert circuit.completeness == pytest.approx(0, abs=0.02)
        needed = [loss for path, loss in circuit.minimality.items() if path not in plant.redundant]
        assert min(needed) > 0.2
        if plant.redundant:
            assert max(circuit.minimality[path] for path in plant.redundant) < 0.05
            without = discover.evaluate(weights, plant.model.cfg, task, sorted(edges - plant.redundant, key=str))
            assert without.faithfulness < 0.2  # a set cut sees what no single cut does
        random = discover.random_circuits(weights, plant.model.cfg, task, len(edges), draws=4)
        assert random.faithfulness.max() < 0.9
        assert random.completeness.max() > 0.9  # a random one may hold a path that is needed
        assert random.minimality.mean() < min(needed) / 2


@pytest.mark.parametrize("make", PLANTS, ids=NAMES)
def test_layer_norms_that_heads_read_through_divide_by_a_constant(make) -> None:
    plant = make(True)
    _, cache = plant.model.run_with_cache(plant.tasks[0].clean)
    scale = cache["blocks.0.ln1.hook_scale"]
    assert float(scale.std() / scale.mean()) < 1e-6
    if any(head[0] == 1 for head in plant.types):
        scale = cache["blocks.1.ln1.hook_scale"]
        assert float(scale.std() / scale.mean()) < 1e-4


@pytest.mark.parametrize("noise", [0.05, 0.1])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("make", PLANTS, ids=NAMES)
def test_exact_effects_rank_true_edges_first(make, layer_norm: bool, noise: float) -> None:
    for seed in range(2):
        plant = make(layer_norm, noise, seed)
        for task, edges in zip(plant.tasks, plant.edges, strict=True):
            assert area_under_curve(plant, edges - plant.redundant, found_edges(plant, task)) == pytest.approx(
                1.0, abs=1e-12
            )


@pytest.mark.parametrize("make", PLANTS, ids=NAMES)
def test_true_edges_pass_the_false_discovery_control(make) -> None:
    plant = make(True, 0.05)
    cfg, weights = plant.model.cfg, forward.weights_of(plant.model)
    paths = discover.candidates(cfg)
    for task, edges in zip(plant.tasks, plant.edges, strict=True):
        passed = discover.significant(discover.exact(weights, cfg, task, paths).p)
        assert {path for path, at in zip(paths, passed, strict=True) if at} >= edges - plant.redundant


@pytest.mark.parametrize("make", PLANTS, ids=NAMES)
def test_nothing_is_found_without_the_plant(make) -> None:
    """Of six noise models none shows an edge (`benchmarks/planted.py` takes a hundred)."""
    draws, false = 6, 0
    for seed in range(draws):
        plant = make(True, 0.1, seed, removed=True)
        for task in plant.tasks:
            assert accuracy(task, plant.model(task.clean)) < 0.3
            false += bool(discover.significant(found_edges(plant, task).p).any())
    assert false == 0


def test_prompts_are_not_independent_units() -> None:
    """Negative control of the test before: t-tests over prompts find edges of noise."""
    false = 0
    for seed in range(10):
        plant = planted.skip_trigram(True, 0.1, seed, removed=True)
        p = stats.ttest_1samp(found_edges(plant, plant.tasks[0]).effect, 0.0, axis=1).pvalue
        false += bool(discover.significant(np.nan_to_num(p, nan=1.0)).any())
    assert false >= 3


def test_exact_effects_are_those_of_path_patching() -> None:
    plant = planted.shared(True, 0.1)
    task = plant.tasks[0]
    found = found_edges(plant, task)
    chosen = [n for n, path in enumerate(found.paths) if path.source != "embed"][::5]
    sets = [[found.paths[number]] for number in chosen]
    hooked = patching.path_patching(
        plant.model, task.clean, task.corrupted, sets, lambda logits: logit_difference(task, logits)
    )
    np.testing.assert_allclose(found.effect[chosen], hooked.effect.numpy(), atol=2e-4)
    np.testing.assert_allclose(found.clean, hooked.clean.numpy(), atol=2e-4)


def test_attribution_is_the_derivative_of_a_patch() -> None:
    """EAP is the slope of the metric as a path's value moves a little towards the corrupted one."""
    plant = planted.shared(True, 0.2)
    cfg, task = plant.model.cfg, plant.tasks[1]
    weights = {name: weight.double() for name, weight in forward.weights_of(plant.model).items()}
    paths = discover.candidates(cfg)
    slopes = discover.attribution(weights, cfg, task, paths)
    clean, corrupted = (rerun.clean_run(weights, cfg, tokens) for tokens in (task.clean, task.corrupted))

    def moved(path: Path, step: float) -> torch.Tensor:
        z = [own + step * (other - own) for own, other in zip(clean.z, corrupted.z, strict=True)]
        values: dict[Source, torch.Tensor] = {(at, head): z[at][:, :, head] for at, head in all_heads(cfg)}
        values["embed"] = clean.residuals[0] + step * (corrupted.residuals[0] - clean.residuals[0])
        stream = rerun.final_residual(rerun.prepare(weights, cfg, clean, values), Change(cuts=(path,)))
        return logit_difference(task, forward.unembed(weights, cfg, stream))

    for number in (0, 7, 20, 45, 50, *(paths.index(path) for path in plant.edges[1])):
        slope = (moved(paths[number], 1e-5) - moved(paths[number], -1e-5)) / 2e-5
        np.testing.assert_allclose(slope.numpy(), slopes.effect[number], rtol=1e-5, atol=1e-7)
    assert np.abs(slopes.effect).max() > 1


def test_gradients_along_the_way_see_what_one_gradient_misses() -> None:
    """Hard attention is flat at the clean prompts: EAP ranks true edges below others, EAP-IG does not."""
    plant = planted.brackets(False, 0.05)
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    paths = discover.candidates(cfg)
    eap, ig = (discover.attribution(weights, cfg, task, paths, steps=steps) for steps in (1, discover.IG_STEPS))
    assert area_under_curve(plant, plant.edges[0], eap) < 0.9
    assert area_under_curve(plant, plant.edges[0], ig) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="at least one gradient"):
        discover.attribution(weights, cfg, task, paths, steps=0)


def test_bad_input_is_refused() -> None:
    plant = planted.induction()
    weights, cfg, task = forward.weights_of(plant.model), plant.model.cfg, plant.tasks[0]
    with pytest.raises(ValueError, match="make both as many and as long"):
        discover.exact(weights, cfg, task._replace(corrupted=task.corrupted[:, :5]), [])
    with pytest.raises(ValueError, match="is not a path"):
        discover.evaluate(weights, cfg, task, [Path((0, 0), (0, 1), "k")])
    with pytest.raises(ValueError, match="does not do the task"):
        discover.evaluate(weights, cfg, task._replace(corrupted=task.clean), [])
    with pytest.raises(ValueError, match="noise=-1"):
        planted.induction(noise=-1.0)


def swapped(task: Task, seed: int) -> Task:
    """Right and wrong answers of a random half of the prompts exchanged."""
    swap = torch.rand(len(task.right), generator=torch.Generator().manual_seed(seed)) < 0.5
    return task._replace(
        right=torch.where(swap, task.wrong, task.right), wrong=torch.where(swap, task.right, task.wrong)
    )


def test_swapped_answers_are_not_found() -> None:
    """A circuit that is there does not do a task that is not: relabelling over the vocabulary alone finds it anyway."""
    plant = planted.brackets(True, 0.05)
    cfg, weights = plant.model.cfg, forward.weights_of(plant.model)
    paths, found = discover.candidates(cfg), {"both": 0, "relabelling": 0}
    for seed in range(4):
        task = swapped(plant.tasks[0], seed)
        found["both"] += int(discover.significant(discover.exact(weights, cfg, task, paths).p).sum())
        run, *_ = discover_exact.patched_run(weights, cfg, task, logit_difference)
        before = discover_exact.last_logits(run, Change())[:, 0]
        alone = [
            answer_tests.relabelling_p(task, discover_exact.last_logits(run, Change(cuts=(path,)))[:, 0] - before)
            for path in paths
        ]
        found["relabelling"] += int(discover.significant(np.array(alone)).sum())
    assert found["both"] == 0
    assert found["relabelling"] > 0
