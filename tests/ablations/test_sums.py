"""A sum of interventions is a set of changes: in every order what the pure functions compute, on any model."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from ablations import ablate, changed_losses, effects, forward, heads, paths, substitutes
from ablations.changes import Change
from ablations.names import Head, all_heads, all_mlps
from ablations.paths import OUTPUT, VIAS, Path, Source, sources_of
from tests.conftest import GPT2, PYTHIA, make_model

TOKENS = torch.randint(50, (3, 7), generator=torch.Generator().manual_seed(2))
KINDS = {
    "attention only": {"positional_embedding_type": "standard"},
    "rotary without norms": {"positional_embedding_type": "rotary", "rotary_dim": 2, "normalization_type": None},
    "with MLPs": GPT2,
}
OTHER_KINDS = {"shortformer": {}, "MLPs beside attention": PYTHIA}


def kind_of_model(kind: str):
    return make_model(3, torch.float64, n_layers=3, **(KINDS | OTHER_KINDS)[kind])


def drawn_set(model, generator: np.random.Generator) -> tuple[Change, dict[Source, torch.Tensor], str]:
    """Heads, paths that often share a source or a target or follow each other, substitutes and a treatment of norms."""
    every = [
        Path(source, target, via)
        for target in [*all_heads(model.cfg), *all_mlps(model.cfg), OUTPUT]
        for source in sources_of(target, model.cfg)
        for via in ((None,) if isinstance(target, str) else VIAS)
    ]
    pick = generator.choice(len(every), generator.integers(1, 7), replace=False)
    ablated = generator.choice(len(all_heads(model.cfg)), generator.integers(0, 4), replace=False)
    chosen = Change(tuple(all_heads(model.cfg)[n] for n in ablated), tuple(every[n] for n in pick))
    nodes: list[Source] = [*all_heads(model.cfg), *all_mlps(model.cfg)]
    values: dict[Source, torch.Tensor] = {node: torch.zeros(1, dtype=torch.float64) for node in nodes}
    for source in sources_of(OUTPUT, model.cfg):
        width = model.cfg.d_model if isinstance(source, str) else model.cfg.d_head
        shape = [(), (7,), (3, 7)][generator.integers(3)]
        if generator.random() < 0.7:
            values[source] = torch.from_numpy(generator.normal(size=(*shape, width)))
    return chosen, values, ["recompute", "freeze"][generator.integers(2)]


def added_up(model, change: Change, values, layer_norm: str, generator: np.random.Generator) -> heads.Interventions:
    """The same set as a sum: part by part, some parts twice, in a random order."""
    of_heads: Mapping[Head, torch.Tensor] = {head: values[head] for head in change.heads}
    parts = [heads.replace({head: value}) for head, value in of_heads.items()]
    parts += [paths.cut(model, [path], values, layer_norm) for path in change.cuts]
    parts += [paths.cut(model, change.cuts[:2], values, layer_norm)]
    parts += [part for part in parts if generator.random() < 0.3]
    return [hook for n in generator.permutation(len(parts)) for hook in parts[n]]


def exact(model, change: Change, values, layer_norm: str = "recompute") -> torch.Tensor:
    weights = forward.weights_of(model)

    def stand_in(rows: slice) -> list[substitutes.Values]:
        return [{source: value[rows] if value.ndim == 3 else value for source, value in values.items()}]

    (block,) = changed_losses.blocks(weights, model.cfg, TOKENS, [change], stand_in, layer_norm)
    return block.effect[0]


def check_random_sets(kind: str, seeds: range) -> None:
    model, sizes = kind_of_model(kind), []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        change, values, layer_norm = drawn_set(model, generator)
        summed = added_up(model, change, values, layer_norm, generator)
        expected = exact(model, change, values, layer_norm)
        found = effects.token_effects(model, TOKENS, summed)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, msg=lambda text, at=seed: f"{at}: {text}")
        sizes.append(float(expected.abs().max()))
    assert np.mean(np.array(sizes) > 1e-3) > 0.9  # negative control: these sets change something


@pytest.mark.parametrize("kind", KINDS)
def test_random_sets_cost_what_the_pure_functions_say(kind: str) -> None:
    check_random_sets(kind, range(40))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, *OTHER_KINDS])
def test_two_hundred_random_sets(kind: str) -> None:
    check_random_sets(kind, range(100, 300))


def test_a_cut_and_an_ablation_of_its_source_commute_and_a_sum_that_keeps_its_order_is_caught() -> None:
    model, path = kind_of_model("attention only"), paths.parse_path("L0H1->L2H2.k")
    zeros: dict[Source, torch.Tensor] = {(0, 1): torch.zeros(6, dtype=torch.float64)}
    whole = exact(model, Change(((0, 1),), (path,)), zeros)
    cut, zero = paths.cut(model, [path]), heads.zero([(0, 1)])
    for summed in (cut + zero, zero + cut, cut + zero + cut, zero + zero + cut):
        torch.testing.assert_close(effects.token_effects(model, TOKENS, summed), whole, rtol=1e-9, atol=1e-9)

    written: dict[str, torch.Tensor] = {}

    def keep(z, hook) -> None:
        written["L0H1"] = z[:, :, 1] @ model.W_O[0, 1]

    def subtract(read, hook):
        read = read.clone()
        read[:, :, 2] -= written["L0H1"]
        return read

    in_order: heads.Interventions = [(heads.z_hook((0, 1)), keep), ("blocks.2.hook_k_input", subtract)]
    wrong = effects.token_effects(model, TOKENS, in_order + heads.zero([(0, 1)]))
    assert (wrong - whole).abs().max() > 1e-2  # negative control: what is kept first was not yet ablated


def test_cuts_that_share_a_path_take_it_once() -> None:
    model = kind_of_model("attention only")
    one, two, three = (paths.parse_path(text) for text in ("L0H1->L1H0.v", "L0H0->L1H0.v", "L1H0->L2H2.k"))
    summed = paths.cut(model, [one, two]) + paths.cut(model, [three, one])
    zeros: dict[Source, torch.Tensor] = {head: torch.zeros(6, dtype=torch.float64) for head in all_heads(model.cfg)}
    found = effects.token_effects(model, TOKENS, summed)
    torch.testing.assert_close(found, exact(model, Change(cuts=(one, two, three)), zeros), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found, exact(model, Change(cuts=(two, three)), zeros), atol=1e-3)


def test_a_head_and_a_path_from_it_may_have_different_values() -> None:
    """The path's target reads the path's value, everything else the head's: held against hooks of two constants."""
    model, generator = kind_of_model("attention only"), torch.Generator().manual_seed(0)
    of_head, of_path = torch.randn(2, 6, dtype=torch.float64, generator=generator)

    def constant(z, hook):
        z = z.clone()
        z[:, :, 1] = of_head
        return z

    def other(read, hook):
        read = read.clone()
        read[:, :, 2] += (of_path - of_head) @ model.W_O[0, 1]
        return read

    by_hand: heads.Interventions = [("blocks.0.attn.hook_z", constant), ("blocks.2.hook_q_input", other)]
    expected = effects.token_effects(model, TOKENS, by_hand)
    cut = paths.cut(model, [Path((0, 1), (2, 2), "q")], {(0, 1): of_path})
    for summed in (cut + heads.replace({(0, 1): of_head}), heads.replace({(0, 1): of_head}) + cut):
        torch.testing.assert_close(effects.token_effects(model, TOKENS, summed), expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(effects.token_effects(model, TOKENS, heads.replace({(0, 1): of_head})), expected)


def test_a_function_of_ones_own_that_changes_a_head_is_seen_by_cuts_from_it() -> None:
    model, path = kind_of_model("attention only"), paths.parse_path("L0H1->L2H2.k")
    own: heads.Interventions = [(heads.z_hook((0, 1)), lambda z, hook: z * 0)]  # the whole layer
    whole = effects.token_effects(model, TOKENS, heads.zero([(0, head) for head in range(3)]))
    for summed in (own + paths.cut(model, [path]), paths.cut(model, [path]) + own):
        torch.testing.assert_close(effects.token_effects(model, TOKENS, summed), whole, rtol=1e-9, atol=1e-9)


def test_ablate_says_the_same_of_heads_with_their_own_paths() -> None:
    model = make_model(0)
    asked = ("L0H1+L0H1->L1H2.k", "L0H1->L1H2.k+L0H1", "L0H1", "L0H1+L0H1", "L0H1->L1H2.k+L0H1->L1H2.k", "L0H1->L1H2.k")
    for way in ("functions", "hooks"):
        effect = ablate(model, TOKENS, asked, method="zero", way=way).effect
        for same, other in ((0, 2), (1, 2), (3, 2), (4, 5)):
            torch.testing.assert_close(effect[same], effect[other], atol=2e-5, rtol=1e-4)
        assert not torch.allclose(effect[2], effect[5], atol=1e-3)


CUT = paths.parse_path("L0H1->L2H2.k")
CONTRADICTIONS = {
    "a head by two values": (
        lambda m: heads.zero([(0, 1)]) + heads.replace({(0, 1): torch.ones(6)}),
        "L0H1 is replaced",
    ),
    "a head by values that do not fit each other": (
        lambda m: heads.replace({(0, 1): torch.ones(7, 6)}) + heads.replace({(0, 1): torch.ones(5, 6)}),
        "L0H1 is replaced by two different values: keep one of them",
    ),
    "a path by two values": (
        lambda m: paths.cut(m, [CUT]) + paths.cut(m, [CUT], {(0, 1): torch.ones(6)}),
        "L0H1->L2H2.k is cut with two different values",
    ),
    "a norm in two ways": (
        lambda m: paths.cut(m, [CUT]) + paths.cut(m, [Path((0, 0), (2, 0), "v")], layer_norm="freeze"),
        "some cuts recompute the norm of layer 2, others freeze it",
    ),
    "a norm of an MLP in two ways": (
        lambda m: paths.cut(m, "L0H1->MLP1") + paths.cut(m, "MLP0->MLP1", layer_norm="freeze"),
        "some cuts recompute the norm of MLP1, others freeze it",
    ),
    "what an MLP writes by a value of no fitting shape": (
        lambda m: paths.cut(m, "MLP0->L2H2.k", {"MLP0": torch.ones(6)}),
        r"does not fit blocks.0.hook_mlp_out of shape \[3, 7, 24\]: give \[d_model\]",
    ),
    "a cut to a value of no fitting shape": (
        lambda m: paths.cut(m, [CUT], {(0, 1): torch.ones(5)}),
        r"a value of shape \[5\] does not fit z of shape \[3, 7, 6\]",
    ),
    "an embedding of no fitting shape": (
        lambda m: paths.cut(m, [Path("embed", (2, 2), "k")], {"embed": torch.ones(6, 24)}),
        r"does not fit hook_embed of shape \[3, 7, 24\]: give \[d_model\]",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_sums_that_contradict_themselves_are_refused(case: str) -> None:
    summed, message = CONTRADICTIONS[case]
    model = kind_of_model("with MLPs")
    with pytest.raises(ValueError, match=message) as caught:
        effects.token_losses(model, TOKENS, summed(model))
    assert "\n" not in str(caught.value)


def test_a_cut_alone_is_no_hook(model) -> None:
    with pytest.raises(RuntimeError, match="run it with effects"):
        model.run_with_hooks(TOKENS, fwd_hooks=paths.cut(model, [Path((0, 1), OUTPUT)]))
