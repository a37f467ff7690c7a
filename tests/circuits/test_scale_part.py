"""What of an effect is read and what goes through the norm's scale: a planted head that writes where nothing reads."""

import numpy as np
import pytest
import torch

from ablations import effects as hooked
from ablations import forward, heads, paths
from ablations.paths import OUTPUT, Path
from circuits import discover, graph, planted, scale_part
from circuits.planted_heads import HeadPlan, induction, previous_token
from circuits.planted_layout import BOS, PREVIOUS, UNREAD
from circuits.planted_model import build
from circuits.tasks import Task, logit_difference
from tests.conftest import make_model

UNREAD_WRITER = Path((1, 1), OUTPUT)


def unread_writer() -> HeadPlan:
    """Attends as the induction head does, and writes where nothing reads when it finds nothing to attend to."""
    plan = induction()
    writes = torch.zeros_like(plan.W_O)
    writes[BOS, UNREAD.start + BOS] = 2.0
    return plan._replace(W_O=writes)


def measured(noise: float, seed: int, layer_norm: bool = True):
    """The induction plant with that head beside it: its model, what was found, and the table with both parts."""
    task = planted.induction(seed=seed).tasks[0]
    written = {(0, 1): previous_token(PREVIOUS), (1, 2): induction(), (1, 1): unread_writer()}
    model = build(written, layer_norm, noise, seed, removed=False)
    effects = discover.path_effects(model, task)
    found = discover.significant(effects.p)
    passed = [path for path, at in zip(effects.paths, found, strict=True) if at]
    frozen = discover.path_effects(model, task, passed, layer_norm="freeze")
    return model, passed, scale_part.with_parts(graph.table(effects, found), effects, frozen)


@pytest.mark.parametrize(("noise", "seed"), [(0.0, 0), (0.05, 0), (0.05, 1), (0.05, 2), (0.1, 3)])
def test_a_head_that_writes_where_nothing_reads_comes_out_as_through_the_scale(noise: float, seed: int) -> None:
    model, passed, table = measured(noise, seed)
    assert UNREAD_WRITER in passed  # it passes discovery: that is why its parts must be told apart
    whole = graph.from_table(model.cfg, table)
    scaled = {(source, target, via) for source, target, via, at in graph.records(whole) if scale_part.through_scale(at)}
    record = whole.edges["L1H1", "output"]["output"]
    assert ("L1H1", "output", "output") in scaled
    assert record["effect"] < -0.1
    assert record["read"] + record["scale"] == pytest.approx(record["effect"], abs=1e-5)
    for source, target, via in (("embed", "L0H1", "v"), ("L0H1", "L1H2", "k"), ("L1H2", "output", "output")):
        at = whole.edges[source, target][via]  # negative control: the circuit itself is read
        assert (source, target, via) not in scaled and abs(at["read"]) > 0.8 * abs(at["effect"])


def test_without_norms_nothing_goes_through_a_scale() -> None:
    _, passed, table = measured(0.05, 0, layer_norm=False)
    assert UNREAD_WRITER not in passed
    chosen = table.sel(path=table.found)
    np.testing.assert_allclose(chosen.read, chosen.effect, atol=1e-5)
    assert np.abs(chosen.scale).max() < 1e-5


def test_parts_of_paths_that_were_not_found_are_not_told() -> None:
    model, _, table = measured(0.05, 0)
    assert (table.read.notnull() == table.found).all() and not table.found.all()
    whole = graph.from_table(model.cfg, table)
    for *_, record in graph.records(whole):
        assert ("read" in record) == record["found"]
    assert not scale_part.through_scale({"effect": 0.5})
    with pytest.raises(ValueError, match=r"L0H0->L1H0\.q is not in the table"):
        chosen = discover.path_effects(model, planted.induction().tasks[0], [UNREAD_WRITER])
        other = discover.path_effects(model, planted.induction().tasks[0], [paths.parse_path("L0H0->L1H0.q")])
        scale_part.with_parts(graph.table(chosen, np.array([True])), chosen, other)


@pytest.mark.parametrize("name", ["L0H1->L1H2.k", "embed->L0H2.q", "L1H1->output", "embed->output"])
def test_frozen_effects_are_the_same_by_functions_by_hooks_and_by_a_cut(name: str) -> None:
    model, path, generator = make_model(), paths.parse_path(name), torch.Generator().manual_seed(0)
    clean, corrupted = (torch.randint(50, (5, 9), generator=generator) for _ in range(2))
    task = Task("test", clean, corrupted, clean[:, 0], clean[:, 1])
    by_functions, by_hooks = (
        discover.path_effects(model, task, [path], way=way, layer_norm="freeze") for way in ("functions", "hooks")
    )
    np.testing.assert_allclose(by_functions.effect, by_hooks.effect, atol=2e-5)
    values = {"embed": forward.weights_of(model)["embed.W_E"][corrupted]}
    values |= heads.head_z(model, [(0, 1), (1, 1)], corrupted)
    logits = hooked.run(model, clean, paths.cut(model, [path], values, layer_norm="freeze"))[:, -1:]
    by_cut = logit_difference(task, logits).numpy() - by_functions.clean
    np.testing.assert_allclose(by_functions.effect[0], by_cut, atol=2e-5)
    recomputed = discover.path_effects(model, task, [path])
    assert np.abs(recomputed.effect - by_functions.effect).max() > 1e-3  # negative control: the other treatment
