"""The entry of discovery chooses its way; what a model or a text does not allow is told apart from wrong arguments."""

import numpy as np
import pytest
import torch

from ablations import forward
from ablations.not_measurable import NotMeasurable
from ablations.paths import parse_path
from circuits import closers, composition, context_gain, discover, mining, multigrams, ngrams, planted, scores, tasks
from tests.conftest import hooked_only, make_model

pytestmark = pytest.mark.both_majors

UNSUPPORTED = {"use_attn_scale": False}  # the pure functions always scale attention scores
NO_TEXT = multigrams.Text(*np.zeros((3, 1, 2), dtype=int), np.zeros((1, 2), dtype=bool))


def some_task() -> tasks.Task:
    generator = torch.Generator().manual_seed(0)
    clean, corrupted = (torch.randint(50, (5, 9), generator=generator) for _ in range(2))
    return tasks.Task("test", clean, corrupted, clean[:, 0], clean[:, 1])


def test_functions_are_taken_where_the_model_allows_them_and_all_paths_are_the_default() -> None:
    plant = planted.induction(noise=0.05)
    cfg, task = plant.model.cfg, plant.tasks[0]
    effects = discover.path_effects(plant.model, task)
    expected = discover.exact(forward.weights_of(plant.model), cfg, task, discover.candidates(cfg))
    assert effects.way == "functions"
    assert effects.paths == expected.paths == discover.candidates(cfg)
    for name in ("effect", "clean", "corrupted", "p"):
        np.testing.assert_array_equal(getattr(effects, name), getattr(expected, name))


def test_hooks_measure_the_same_when_asked_for() -> None:
    model, task = make_model(), some_task()
    paths = [parse_path(name) for name in ("L0H0->L1H2.k", "L0H1->L1H0.v", "embed->L0H2.q", "L1H1->output")]
    by_functions, by_hooks = (discover.path_effects(model, task, paths, way=way) for way in ("functions", "hooks"))
    assert (by_functions.way, by_hooks.way) == ("functions", "hooks: asked for")
    np.testing.assert_allclose(by_hooks.effect, by_functions.effect, atol=2e-5)
    assert np.abs(by_functions.effect[1:] - by_functions.effect[:-1]).max() > 1e-3  # negative control: another path


def test_another_metric_is_measured_in_both_ways() -> None:
    def right_logit(task: tasks.Task, logits: torch.Tensor) -> torch.Tensor:
        return logits[torch.arange(len(logits)), -1, task.right]

    model, task, paths = make_model(), some_task(), [parse_path("L0H1->L1H0.v")]
    by_functions, by_hooks, usual = (
        discover.path_effects(model, task, paths, way="functions", metric=right_logit),
        discover.path_effects(model, task, paths, way="hooks", metric=right_logit),
        discover.path_effects(model, task, paths),
    )
    np.testing.assert_allclose(by_hooks.effect, by_functions.effect, atol=2e-5)
    assert np.abs(usual.effect - by_functions.effect).max() > 1e-3  # negative control: the usual metric


@hooked_only
def test_hooks_are_taken_where_they_are_needed_and_the_result_says_why() -> None:
    model, task = make_model(**UNSUPPORTED), some_task()
    path = parse_path("L0H0->L1H2.k")
    effects = discover.path_effects(model, task, [path])
    assert effects.way == f"hooks: {forward.unsupported(model.cfg)}" == "hooks: scores that are not scaled"
    assert effects.effect.shape == (1, 5)
    with torch.no_grad():
        clean, corrupted = (tasks.logit_difference(task, model(tokens)) for tokens in (task.clean, task.corrupted))
    np.testing.assert_allclose(effects.clean, clean.numpy(), atol=1e-5)
    np.testing.assert_allclose(effects.corrupted, corrupted.numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="scores that are not scaled"):
        discover.path_effects(model, task, [path], way="functions")


@pytest.mark.parametrize("way", ["auto", "functions", "hooks"])
def test_wrong_arguments_are_told_in_each_way(way: str) -> None:
    model, task = make_model(), some_task()
    with pytest.raises(ValueError, match="no paths"):
        discover.path_effects(model, task, [], way=way)
    with pytest.raises(ValueError, match="make both as many and as long"):
        discover.path_effects(model, task._replace(corrupted=task.corrupted[:, :5]), way=way)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="fast"):  # a TypeError of the type checks under pytest
        discover.path_effects(make_model(), some_task(), way="fast")


@pytest.mark.parametrize(
    "measure",
    [
        lambda: scores.random_rows(np.ones(10), batch=1, period=6, seed=0),
        lambda: closers.closer_tokens(["a", "b"]),
        lambda: mining.mine(NO_TEXT, 2**16, 1, 1),
        lambda: ngrams.keys(np.zeros((1, 20), dtype=int), 20, 0, 2**16),
        lambda: ngrams.score(np.zeros((1, 3)), np.zeros((1, 3), dtype=bool), np.zeros((1, 3), dtype=int)),
        lambda: composition.position_composition({}, make_model(positional_embedding_type="standard").cfg),
        lambda: context_gain.log_probabilities(
            forward.weights_of(make_model()),
            make_model().cfg,
            torch.zeros(2, 4, dtype=torch.int64),
            multigrams.Patterns(np.array([[5, 0, 0, 0]]), np.array([[1, 0, 0, 0]]), np.array([2])),
        ),
        lambda: discover.evaluate(
            forward.weights_of(make_model()), make_model().cfg, some_task()._replace(corrupted=some_task().clean), []
        ),
        lambda: discover.evaluate(
            forward.weights_of(make_model()),
            make_model().cfg,
            some_task(),
            [],
            lambda task, logits: logits[:, 0, 0] * torch.nan,
        ),
    ],
    ids=[
        "vocabulary",
        "closers",
        "mining",
        "n-grams",
        "none common",
        "positions",
        "short windows",
        "no task",
        "no number",
    ],
)
def test_what_a_model_or_a_text_does_not_allow_is_not_measurable(measure) -> None:
    with pytest.raises(NotMeasurable):
        measure()


@pytest.mark.parametrize(
    "call",
    [
        lambda: discover.path_effects(make_model(), some_task(), []),
        lambda: discover.significant(np.ones(3), 2.0),
        lambda: planted.induction(noise=-1.0),
        lambda: scores.prefix_matching(torch.zeros(1, 1, 4, 4), 3),
    ],
    ids=["no paths", "a rate of 2", "negative noise", "no second copy"],
)
def test_wrong_arguments_are_not(call) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert not isinstance(caught.value, NotMeasurable)
