"""One call for every ablation: the same numbers by pure functions and by hooks, on models of several kinds."""

import doctest

import pytest
import torch

from ablations import Change, ablate, effects, heads, paths, removal
from ablations.not_measurable import NotMeasurable
from tests.conftest import GPT2, PYTHIA, hooked_only, make_model

pytestmark = pytest.mark.both_majors

WHAT = ("L1H2", "L0H0+L0H1", "L0H1->L1H2.k", "L0H1->L1H2.v+L0H0->L1H2.v", "L0H1->output")


def texts(d_vocab: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(d_vocab, (3, 10), generator=generator), torch.randint(d_vocab, (5, 12), generator=generator)


@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
@pytest.mark.parametrize("shape", [{}, GPT2, PYTHIA], ids=["attention only", "gpt2", "pythia"])
def test_functions_and_hooks_agree(shape: dict, method: str) -> None:
    model = make_model(0, **shape)
    what = WHAT if model.cfg.n_heads > 2 else ("L1H1", "L0H0->L1H1.k")
    tokens, reference = texts(model.cfg.d_vocab)
    ways = ("functions", "hooks")
    by = {way: ablate(model, tokens, what, method=method, reference=reference, draws=2, way=way) for way in ways}
    assert by["functions"].names == by["hooks"].names == what
    torch.testing.assert_close(by["functions"].effect, by["hooks"].effect, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(by["functions"].clean, by["hooks"].clean, atol=2e-5, rtol=1e-5)
    apart = (by["functions"].effect[0] - by["hooks"].effect[1]).abs().max()
    assert apart > 1e-3, "negative control: another part"


def test_it_is_what_hooks_written_by_hand_give() -> None:
    model = make_model(0)
    tokens, reference = texts(model.cfg.d_vocab)
    by_hand = effects.token_effects(model, tokens, heads.mean(model, [(1, 2)], reference))
    removed = ablate(model, tokens, "L1H2", reference=reference)
    torch.testing.assert_close(removed.effect[0], by_hand, atol=2e-5, rtol=1e-4)
    cut = paths.cut(model, [paths.parse_path("L0H1->L1H2.q")])
    change = Change(cuts=(paths.parse_path("L0H1->L1H2.q"),))
    torch.testing.assert_close(
        ablate(model, tokens, change, method="zero").effect[0],
        effects.token_effects(model, tokens, cut),
        atol=2e-5,
        rtol=1e-4,
    )


@hooked_only
def test_the_way_is_chosen_and_said() -> None:
    model = make_model(0, use_attn_scale=False)
    tokens, _ = texts(model.cfg.d_vocab)
    assert ablate(make_model(0), tokens, "L1H2", method="zero").way == "functions"
    assert ablate(model, tokens, "L1H2", method="zero").way.startswith("hooks: scores that are not scaled")
    with pytest.raises(ValueError, match="not a model these functions can run"):
        ablate(model, tokens, "L1H2", method="zero", way="functions")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "mean"}, "mean ablation needs a reference text"),
        ({"method": "resample", "reference": torch.zeros(3, 4, dtype=torch.int64)}, "shorter than those of the text"),
        ({"method": "noise"}, "method"),
        ({"what": "L9H0"}, "no head L9H0"),
        ({"layer_norm": "ignore"}, "layer_norm"),
    ],
)
def test_bad_calls_are_one_clear_line(arguments: dict, message: str) -> None:
    model = make_model(0)
    tokens, _ = texts(model.cfg.d_vocab)
    with pytest.raises(Exception, match=message):  # beartype's own error where a literal is not one
        ablate(model, tokens, **({"what": "L1H2", "method": "zero"} | arguments))


def test_too_few_rows_to_resample_from_is_not_measurable() -> None:
    model = make_model(0)
    tokens, reference = texts(model.cfg.d_vocab)
    with pytest.raises(NotMeasurable, match="donors are needed"):
        ablate(model, tokens, "L1H2", method="resample", reference=reference, draws=9)


def test_the_example_runs() -> None:
    assert doctest.testmod(removal).attempted > 3 and not doctest.testmod(removal).failed
