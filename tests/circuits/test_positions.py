"""Paths at the positions of roles: exact against hooks that change scores and values by hand, and true on plants."""

import numpy as np
import pytest
import torch

from ablations import effects
from ablations.heads import head_z
from ablations.models import Model
from ablations.paths import Path, cut, parse_path, path_name
from circuits import discover, planted, positions
from circuits.positions import ANYWHERE, Roles
from circuits.tasks import Task, logit_difference
from tests.ablations.test_padding import padded, with_tokenizer
from tests.conftest import GPT2, make_model

INTO_HEADS = ("embed->L0H1.k", "embed->L0H2.v", "L0H0->L1H2.k", "L0H1->L1H0.v", "L0H2->L1H1.q")
EVERY_END = (*INTO_HEADS, "L0H1->output", "L1H2->output", "embed->output")
MODELS = {
    "shortformer": {},
    "rotary": {"positional_embedding_type": "rotary", "rotary_dim": 4},
    "three layers": {"n_layers": 3},
    "gpt2": GPT2,
}


def random_task(length: int = 9, prompts: int = 5) -> Task:
    generator = torch.Generator().manual_seed(0)
    clean, corrupted = (torch.randint(50, (prompts, length), generator=generator) for _ in range(2))
    return Task("test", clean, corrupted, clean[:, 0], clean[:, 1])


def random_roles(task: Task) -> Roles:
    """Three roles at random; the last token's is one that others have too."""
    at = torch.randint(3, task.clean.shape, generator=torch.Generator().manual_seed(1))
    return Roles(("a", "b", "c"), at)


def by_row(found: positions.PositionEffects) -> dict[tuple[str, str, str], np.ndarray]:
    names = map(path_name, found.paths)
    return dict(zip(zip(names, found.written, found.read, strict=True), found.effect, strict=True))


def of_source(model: Model, path: Path, tokens: torch.Tensor) -> torch.Tensor:
    """What a path's source adds to the residual stream, by the model's own hooks."""
    _, cache = model.run_with_cache(tokens)
    if isinstance(path.source, str):
        return cache["hook_embed"]
    layer, head = path.source
    return cache[f"blocks.{layer}.attn.hook_z"][:, :, head] @ model.blocks[layer].attn.W_O[head]


def by_hand(model: Model, task: Task, path: Path, written: torch.Tensor, read: torch.Tensor) -> np.ndarray:
    """The effect of a path into a head that is written at some positions and read at others: of the scores and values
    of every pair of positions those of these pairs alone are changed, one after the other.
    """
    assert not isinstance(path.target, str)
    layer, head = path.target
    _, cache = model.run_with_cache(task.clean)
    change = (of_source(model, path, task.corrupted) - of_source(model, path, task.clean)) * written[..., None]
    with torch.no_grad():
        from_patched = vectors(model, layer, head, cache[f"blocks.{layer}.hook_resid_pre"] + change)
        own = vectors(model, layer, head, cache[f"blocks.{layer}.hook_resid_pre"])
    z = torch.zeros_like(own["v"])
    for prompt in range(len(task.clean)):
        for query in range(task.clean.shape[1]):
            pairs = [bool(read[prompt, query]) and bool(written[prompt, key]) for key in range(query + 1)]
            k = [(from_patched if p and path.via == "k" else own)["k"][prompt, key] for key, p in enumerate(pairs)]
            v = [(from_patched if p and path.via == "v" else own)["v"][prompt, key] for key, p in enumerate(pairs)]
            q = (from_patched if path.via == "q" and read[prompt, query] else own)["q"][prompt, query]
            pattern = (torch.stack(k) @ q / model.cfg.attn_scale).softmax(0)
            z[prompt, query] = pattern @ torch.stack(v)

    def put(all_z: torch.Tensor, hook: object) -> torch.Tensor:
        return torch.cat([all_z[:, :, :head], z[:, :, None], all_z[:, :, head + 1 :]], 2)

    with torch.no_grad():
        after = model.run_with_hooks(task.clean, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", put)])
        return (logit_difference(task, after) - logit_difference(task, model(task.clean))).numpy()


def vectors(model: Model, layer: int, head: int, residual: torch.Tensor) -> dict[str, torch.Tensor]:
    """Queries, keys and values of a head that reads this residual stream."""
    block = model.blocks[layer]
    normed = block.ln1(residual)
    placed = normed + model.pos_embed.W_pos[: residual.shape[1]]  # a shortformer's
    reads = {"q": placed, "k": placed, "v": normed}
    return {
        via: read @ getattr(block.attn, f"W_{via.upper()}")[head] + getattr(block.attn, f"b_{via.upper()}")[head]
        for via, read in reads.items()
    }


@pytest.mark.parametrize("name", INTO_HEADS)
def test_from_role_to_role_changes_these_pairs_alone(name: str) -> None:
    model, task = make_model(1, torch.float64), random_task()
    path, roles = parse_path(name), random_roles(task)
    found = by_row(positions.path_positions(model, task, path, roles))
    everywhere = torch.ones_like(task.clean, dtype=torch.bool)
    crosses = path.via != "q"
    assert len(found) == (3 * 4 if crosses else 3)
    for (_, written, read), effect in found.items():
        reading = everywhere if read == ANYWHERE else roles.where(read)
        np.testing.assert_allclose(
            effect, by_hand(model, task, path, roles.where(written), reading), atol=1e-9, err_msg=f"{written} {read}"
        )
    values = np.stack(list(found.values()))
    distances = abs(values[:, None] - values[None]).max(-1)
    assert np.median(distances[np.triu_indices(len(values), 1)]) > 1e-3  # the control: roles differ


@pytest.mark.parametrize("name", EVERY_END)
def test_what_a_role_writes_is_what_hooks_cut_there(name: str) -> None:
    model, task = make_model(1), random_task()
    path, roles = parse_path(name), random_roles(task)
    found = by_row(positions.path_positions(model, task, path, roles))
    read_as = {"k": ANYWHERE, "v": ANYWHERE}
    for role in roles.names:
        own, other = (written_by(model, path, tokens) for tokens in (task.clean, task.corrupted))
        mixed = torch.where(roles.where(role)[..., None], other, own)
        hooks = cut(model, [path], {path.source: mixed})
        after = logit_difference(task, effects.run(model, task.clean, hooks))
        before = logit_difference(task, effects.run(model, task.clean, [], flags_of=hooks))
        expected = (after - before).numpy()
        np.testing.assert_allclose(found[name, role, read_as.get(path.via or "", role)], expected, atol=5e-5)


def written_by(model: Model, path: Path, tokens: torch.Tensor) -> torch.Tensor:
    """z of a path's source, or the embedding."""
    if isinstance(path.source, str):
        return model.W_E.detach()[tokens]
    return head_z(model, [path.source], tokens)[path.source]


@pytest.mark.parametrize("layer_norm", ["recompute", "freeze"])
@pytest.mark.parametrize("kind", MODELS)
def test_all_roles_at_once_are_the_path(kind: str, layer_norm) -> None:
    model, task = make_model(1, **MODELS[kind]), random_task()
    whole = Roles(("all",), torch.zeros_like(task.clean))
    found = positions.path_positions(model, task, roles=whole, layer_norm=layer_norm)
    expected = discover.path_effects(model, task, layer_norm=layer_norm)
    of_path = dict(zip(expected.paths, expected.effect, strict=True))
    assert set(found.paths) == set(of_path)
    for path, effect in zip(found.paths, found.effect, strict=True):
        np.testing.assert_allclose(effect, of_path[path], atol=2e-5)
    parts = positions.path_positions(model, task, "L0H1->L1H2.k", random_roles(task), layer_norm=layer_norm)
    anywhere = parts.effect[[read == ANYWHERE for read in parts.read]]
    assert abs(anywhere - of_path[parse_path("L0H1->L1H2.k")]).max() > 1e-3  # the control: one role is not the path


def test_a_path_stands_at_the_positions_that_were_planted() -> None:
    plant = planted.induction(noise=0.03)
    found = positions.path_positions(plant.model, plant.tasks[0], sorted(plant.edges[0], key=str)).to_dataframe()
    whole = discover.path_effects(plant.model, plant.tasks[0], sorted(plant.edges[0], key=str))
    sizes = dict(zip(map(path_name, whole.paths), whole.effect.mean(1), strict=True))
    true = {
        ("embed->L0H1.v", "previous occurrence", "token after it"),
        ("L0H1->L1H2.k", "token after it", "last token"),
        ("L1H2->output", "last token", "last token"),
    }
    for row in found[found.read != ANYWHERE].to_dict("records"):
        share = row["effect"] / sizes[row["path"]]
        where = row["path"], row["written"], row["read"]
        assert share == pytest.approx(1, abs=0.1) if where in true else abs(share) < 0.1, where
        assert row["half_width"] == pytest.approx(1.998 * row["se"], rel=1e-3) and row["prompts"] > 0
    assert sizes["L0H1->L1H2.k"] < -5


def test_a_bracket_that_the_user_names_is_where_the_flag_is_read() -> None:
    plant = planted.brackets()
    task = plant.tasks[0]
    openers = torch.isin(task.clean, torch.tensor([1, 2]))
    roles = positions.named(task, {"opener": openers, "replaced": (task.clean != task.corrupted) & ~openers})
    found = by_row(positions.path_positions(plant.model, task, ["L0H0->L1H1.k", "embed->L0H0.v"], roles))
    assert found["L0H0->L1H1.k", "opener", ANYWHERE].mean() < -1
    assert abs(found["L0H0->L1H1.k", "replaced", ANYWHERE]).max() < 1e-3
    assert found["embed->L0H0.v", "replaced", ANYWHERE].mean() < -1


@pytest.mark.parametrize("control", ["permuted roles", "no plant"])
def test_nothing_is_where_nothing_was_planted(control: str) -> None:
    plant = planted.induction(noise=0.03, removed=control == "no plant")
    task = plant.tasks[0]
    roles = positions.induction_roles(task)
    if control == "permuted roles":  # the names go round
        roles = roles._replace(names=(*roles.names[1:], roles.names[0]))
    found = by_row(positions.path_positions(plant.model, task, ["L0H1->L1H2.k", "embed->L0H1.v"], roles))
    for path, written, read in (
        ("L0H1->L1H2.k", "token after it", "last token"),
        ("embed->L0H1.v", "previous occurrence", "token after it"),
    ):
        assert abs(found.get((path, written, read), np.zeros(1)).mean()) < 0.3  # of more than 5 logits


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_prompt_is_as_if_it_stood_alone(side: str) -> None:
    long, brief, other = [0, 5, 9, 3, 8, 7, 2, 9], [0, 11, 12, 13, 11], [0, 21, 12, 13, 11]
    model, paths = with_tokenizer(make_model(1), side, False), ["L0H1->L1H2.k", "L0H0->L1H1.q"]
    answers = torch.tensor([14, 14]), torch.tensor([15, 15])
    both = Task(
        "induction", padded([long, brief], side, False), padded([[0, 5, 4, *long[3:]], other], side, False), *answers
    )
    alone = Task("induction", torch.tensor([brief]), torch.tensor([other]), answers[0][:1], answers[1][:1])
    found = by_row(positions.path_positions(model, both, paths))
    expected = by_row(positions.path_positions(make_model(1), alone, paths))
    assert ("L0H1->L1H2.k", "token after it", "last token") in expected
    assert max(abs(effect).max() for effect in expected.values()) > 1e-2
    for row, effect in expected.items():
        assert found[row][1] == pytest.approx(effect[0], abs=1e-4), row


def test_bad_calls_are_refused() -> None:
    model, task = make_model(), random_task()
    for paths, match in (
        ([], "no paths"),
        ("L1H0->L0H1.k", "earlier layer"),
        ("b_O->L1H0.k", "b_O->L1H0.k: its source is the same on all prompts"),
    ):
        with pytest.raises(ValueError, match=match):
            positions.path_positions(model, task, paths, random_roles(task))
    with pytest.raises(ValueError, match=r"roles of \[4, 9\] positions, prompts of \[5, 9\]"):
        positions.path_positions(model, task, "L0H1->output", random_roles(random_task(prompts=4)))
    with pytest.raises(ValueError, match="not a model these functions can run"):
        positions.path_positions(make_model(attn_scores_soft_cap=50.0), task, "L0H1->output", random_roles(task))


def test_one_prompt_has_no_interval_and_effects_are_by_prompt() -> None:
    task = random_task(prompts=1)
    found = positions.path_positions(make_model(), task, "L0H1->L1H2.k", positions.by_number(task))
    frame = found.to_dataframe()
    assert found.effect.shape == (len(frame), 1) and np.isnan(frame.se).all()
    assert len(frame) == 9 + 9 * 10 / 2  # a row for each position, and for each pair that is seen
    unread = frame[(frame.read != "8") & (frame.read != ANYWHERE)]
    assert (unread.effect == 0).all() and (frame[frame.read == "8"].effect != 0).all()  # last layer, last token
