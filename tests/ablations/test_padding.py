"""Rows that are padded are measured as if each stood alone, in every way to ask, or refused in one line."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ablations import ablate, changed_losses, effects, forward, heads, padding, patching, substitutes
from ablations.changes import parse_change
from ablations.models import Model
from ablations.padding import Padding, is_text
from ablations.paths import Path, parse_path
from circuits import discover, discover_hooks, scores
from circuits.tasks import Task
from llc import engine, fisher_trace, hessian_trace, losses
from llc.settings import QUICK
from tests.conftest import GPT2, PYTHIA, make_model

SHORT = replace(QUICK, num_draws=6, num_burnin=1)
KINDS: dict[str, dict] = {
    "shortformer": {},
    "gpt2": GPT2,
    "pythia": PYTHIA,
    "hooks alone": {"attn_scores_soft_cap": 50.0},  # does not run as pure functions
}
SIDES = [("left", True), ("left", False), ("right", True), ("right", False)]
every_side = pytest.mark.parametrize(("side", "shared"), SIDES, ids=lambda value: str(value))
LONG, BRIEF = [0, 5, 9, 3, 8, 7, 2], [0, 11, 12, 13]  # BOS and words
OTHER, OTHER_BRIEF = [0, 6, 9, 4, 8, 7, 2], [0, 21, 12, 13]
TEXT = torch.randint(2, 50, (6, 9), generator=torch.Generator().manual_seed(4))
PATHS = [parse_path(text) for text in ("embed->L0H0.v", "L0H1->L1H1.k", "L0H0->L1H2.q", "L0H2->output", "L1H0->output")]
OF_MLPS = [parse_path(text) for text in ("MLP0->L1H2.k", "embed->MLP0", "L0H1->MLP1", "MLP1->output")]


def paths_of(kind: str) -> list[Path]:
    """Some of the paths of a model of this kind."""
    return PATHS + (OF_MLPS if kind in ("gpt2", "pythia") else [])


def with_tokenizer(model: Model, side: str, shared: bool) -> Model:
    """A tokenizer whose padding token also begins and ends texts (as GPT-2's), or is one of its own."""
    names = {"<bos>": 0, "<pad>": 1} | {f"w{number}": number for number in range(2, 50)}
    words = Tokenizer(models.WordLevel(names, unk_token="w2"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<bos>", eos_token="<bos>", pad_token="<bos>" if shared else "<pad>"
    )
    tokenizer.padding_side = side
    model.tokenizer = tokenizer  # as set_tokenizer leaves it, which asks the disk for the same once more
    return model


def padded(rows: list[list[int]], side: str, shared: bool) -> torch.Tensor:
    width = max(map(len, rows))
    fill = [[0 if shared else 1] * (width - len(row)) for row in rows]
    return torch.tensor([f + row if side == "left" else row + f for f, row in zip(fill, rows, strict=True)])


def task(clean: torch.Tensor, corrupted: torch.Tensor) -> Task:
    return Task("test", clean, corrupted, torch.full((len(clean),), 14), torch.full((len(clean),), 15))


def tasks(side: str, shared: bool) -> tuple[Task, Task]:
    """Two prompts, one padded, and that one alone."""
    both = task(padded([LONG, BRIEF], side, shared), padded([OTHER, OTHER_BRIEF], side, shared))
    return both, task(torch.tensor([BRIEF]), torch.tensor([OTHER_BRIEF]))


@every_side
@pytest.mark.parametrize("kind", KINDS)
def test_paths_of_a_padded_prompt(kind: str, side: str, shared: bool) -> None:
    model = with_tokenizer(make_model(**KINDS[kind]), side, shared)
    both, alone = tasks(side, shared)
    asked = paths_of(kind)
    truth = discover_hooks.exact(make_model(**KINDS[kind]), alone, asked)
    assert np.abs(truth.effect).max() > 1e-2
    for way in ("hooks",) if kind == "hooks alone" else ("functions", "hooks"):
        found = discover.path_effects(model, both, asked, way=way)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.effect[:, 1], truth.effect[:, 0], atol=1e-4)
        np.testing.assert_allclose(found.clean[1], truth.clean[0], atol=1e-4)
        np.testing.assert_allclose(found.corrupted[1], truth.corrupted[0], atol=1e-4)
    model.tokenizer = None  # negative control: nothing says what padding is
    ignored = discover.path_effects(model, both, asked)
    assert np.abs(ignored.effect[:, 1] - truth.effect[:, 0]).max() > 1e-3


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kind", ["shortformer", "gpt2", "pythia"])
def test_attributions_and_circuits_of_a_padded_prompt(kind: str, shared: bool) -> None:
    model, asked = make_model(**KINDS[kind]), paths_of(kind)
    plain, cfg = forward.weights_of(model), model.cfg
    weights = forward.weights_of(with_tokenizer(model, "left", shared))
    both, alone = tasks("left", shared)
    for steps in (1, 3):
        found, truth = (
            discover.attribution(w, cfg, t, asked, steps=steps) for w, t in ((weights, both), (plain, alone))
        )
        np.testing.assert_allclose(found.effect[:, 1], truth.effect[:, 0], atol=1e-4)
    brief = both._replace(**{name: getattr(both, name)[[1]] for name in ("clean", "corrupted", "right", "wrong")})
    found_circuit, true_circuit = (discover.evaluate(w, cfg, t, asked) for w, t in ((weights, brief), (plain, alone)))
    assert found_circuit.faithfulness == pytest.approx(true_circuit.faithfulness, abs=1e-3)
    assert found_circuit.completeness == pytest.approx(true_circuit.completeness, abs=1e-3)
    unmarked = discover.attribution(plain, cfg, both, asked)
    assert np.abs(unmarked.effect[:, 1] - truth.effect[:, 0]).max() > 1e-3, "negative control"


@every_side
@pytest.mark.parametrize(
    ("kind", "method"), [(kind, "mean") for kind in KINDS] + [("shortformer", "zero"), ("pythia", "resample")]
)
def test_what_removing_costs_in_a_padded_row(kind: str, method, side: str, shared: bool) -> None:
    model, plain = with_tokenizer(make_model(**KINDS[kind]), side, shared), make_model(**KINDS[kind])
    rows, what = padded([LONG, BRIEF], side, shared), ["L0H1", "L1H2", "L0H1->L1H2.k"]
    # one row donates, so that every row draws it
    reference = TEXT[:1] if method == "resample" else TEXT
    truth = ablate(plain, torch.tensor([BRIEF]), what, method=method, reference=reference)
    here = slice(3, None) if side == "left" else slice(0, 3)
    for way in ("auto", "hooks"):
        found = ablate(model, rows, what, method=method, reference=reference, way=way)  # type: ignore[arg-type]
        torch.testing.assert_close(found.clean[1, here], truth.clean[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.effect[:, 1, here], truth.effect[:, 0], rtol=1e-3, atol=2e-4)
        counted = padding.is_text(padding.padding_of(model), rows)
        expected = counted[:, 1:] & counted[:, :-1]
        assert torch.equal(found.clean.isfinite(), expected)
        assert torch.equal(found.effect.isfinite(), expected.expand(3, -1, -1))
    if side == "left":
        ignored = ablate(plain, rows, what, method=method, reference=reference)
        assert (ignored.effect[:, 1, here] - truth.effect[:, 0]).abs().max() > 1e-3, "negative control"


@every_side
@pytest.mark.parametrize("by_position", [False, True])
def test_means_leave_padding_out(side: str, shared: bool, by_position: bool) -> None:
    model = make_model()
    plain, cfg = forward.weights_of(model), model.cfg
    one, other = (substitutes.mean_z(plain, cfg, torch.tensor([row]), True)[1, 2] for row in (LONG, BRIEF))
    ends = 5 if side == "right" and shared else 4  # where a text may end with the same token, the first one is of it
    if ends == 5:
        other = substitutes.mean_z(plain, cfg, torch.tensor([[*BRIEF, 0]]), True)[1, 2]
    total = one.clone()
    total[:ends] += other
    expected = (
        total / torch.tensor([2] * ends + [1] * (7 - ends))[:, None] if by_position else total.sum(0) / (7 + ends)
    )
    rows = padded([LONG, BRIEF], side, shared)
    with_tokenizer(model, side, shared)
    weights = plain | padding.mark(padding.padding_of(model))
    for found in (
        heads.mean_z(model, [(1, 2)], rows, by_position)[1, 2],
        substitutes.mean_z(weights, cfg, rows, by_position, rows_at_once=1)[1, 2],
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    unmarked = substitutes.mean_z(plain, cfg, rows, by_position)[1, 2]
    assert (unmarked - expected).abs().max() > 1e-3, "negative control"


@every_side
def test_losses_under_hooks_of_ones_own(side: str, shared: bool) -> None:
    model = with_tokenizer(make_model(), side, shared)
    rows, here = padded([LONG, BRIEF], side, shared), slice(3, None) if side == "left" else slice(0, 3)
    truth = effects.token_losses(make_model(), torch.tensor([BRIEF]), heads.zero([(0, 1)]))
    torch.testing.assert_close(
        effects.token_losses(model, rows, heads.zero([(0, 1)]))[1, here], truth[0], rtol=1e-4, atol=1e-4
    )
    assert effects.token_losses(model, rows)[1].isnan().any()
    assert effects.token_effects(model, rows, heads.zero([(0, 1)]))[0].isfinite().all()


def test_which_tokens_are_padding() -> None:
    rows = torch.tensor([[0, 0, 0, 5, 0], [5, 6, 0, 0, 0], [5, 6, 7, 8, 0]])
    for how, expected in (
        (Padding(0, left=True, begins=True, ends=True), ["..xxx", "xxxxx", "xxxxx"]),
        (Padding(0, left=True, begins=False, ends=False), ["...xx", "xxxxx", "xxxxx"]),
        (Padding(0, left=False, begins=True, ends=True), ["xxxxx", "xxx..", "xxxxx"]),
        (Padding(0, left=False, begins=False, ends=False), ["xxxx.", "xx...", "xxxx."]),
    ):
        seen = ["".join("x" if one else "." for one in row) for row in is_text(how, rows)]
        assert seen == expected
    assert is_text(None, rows).all()


LEFT = with_tokenizer(make_model(), "left", True)
RIGHT = with_tokenizer(make_model(), "right", False)
ROWS = {"left": padded([LONG, BRIEF], "left", True), "right": padded([LONG, BRIEF], "right", False)}
WEIGHTS = forward.weights_of(LEFT)
REFUSED: dict[str, Callable[[Model, torch.Tensor], object]] = {
    "sampling a head": lambda m, t: engine.sample(m, t, ["L0H1"], settings=SHORT, seed=0),
    "sampling a layer": lambda m, t: engine.sample(m, t, ["L0"], settings=SHORT, seed=0),
    "sampling towards a model": lambda m, t: engine.sample(
        m, t, ["L0H1"], settings=SHORT, seed=0, loss=losses.kl_to(make_model(1))
    ),
    "Fisher trace": lambda m, t: fisher_trace.fisher_trace(m, t, ["L0H1"], seed=0),
    "Hessian trace": lambda m, t: hessian_trace.hessian_trace(m, t, ["L0H1"], seed=0),
    "donors": lambda m, t: ablate(m, TEXT[:, :7], "L0H1", method="resample", reference=t),
}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", REFUSED)
def test_where_padding_is_refused(name: str, side: str) -> None:
    model = {"left": LEFT, "right": RIGHT}[side]
    with pytest.raises(ValueError, match=r"row 1 (begins|ends) with padding \(token [01]\).*cut them to one length"):
        REFUSED[name](model, ROWS[side])
    REFUSED[name](model, TEXT[:, :7])  # negative control


FUNCTIONS: dict[str, Callable[[torch.Tensor], object]] = {
    "logits": lambda t: forward.logits(WEIGHTS, LEFT.cfg, t),
    "the last token alone": lambda t: forward.last_residual(WEIGHTS, LEFT.cfg, t),
    "scores over rows": lambda t: scores.over_rows(WEIGHTS, LEFT.cfg, t, {}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pure_functions_do_not_hide_padding(name: str) -> None:
    with pytest.raises(ValueError, match=r"row 1 begins with padding \(token 0\): these functions"):
        FUNCTIONS[name](ROWS["left"])
    FUNCTIONS[name](ROWS["left"][:1])  # negative control: BOS has the same number


def test_sampling_with_weights_of_zero_for_padding() -> None:
    """Learning coefficients on padded rows are those of a data set in which padding has no weight, whatever it is."""
    rows = padded([LONG, BRIEF], "right", False)
    text = is_text(Padding(1, False, False, False), rows)[:, 1:].float()
    first, second = (
        engine.sample(
            RIGHT, rows.where(rows != 1, one), ["L0H1"], settings=SHORT, seed=0, loss=losses.weighted(text, "text")
        )["L0H1"]
        for one in (1, 30)
    )
    np.testing.assert_allclose(first.loss, second.loss, rtol=1e-5)
    plain = engine.sample(RIGHT, rows.where(rows != 1, 30), ["L0H1"], settings=SHORT, seed=0)["L0H1"]
    assert np.abs(plain.loss - first.loss).max() > 1e-2, "negative control"
    with pytest.raises(ValueError, match="begins with padding"):
        engine.sample(LEFT, ROWS["left"], ["L0H1"], settings=SHORT, seed=0, loss=losses.weighted(text, "text"))


@pytest.mark.parametrize("side", ["left", "right"])
def test_prompts_that_do_not_correspond(side: str) -> None:
    model, shared = {"left": LEFT, "right": RIGHT}[side], side == "left"
    uneven = task(padded([LONG, BRIEF], side, shared), padded([OTHER, OTHER], side, shared))
    empty = uneven.clean.clone()
    empty[1] = 0 if shared else 1
    for way in ("functions", "hooks"):
        with pytest.raises(ValueError, match="prompt 1 has 4 tokens, its corrupted one 7"):
            discover.path_effects(model, uneven, PATHS, way=way)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prompt 1 has 4 tokens, its corrupted one 7"):
        patching.path_patching(model, uneven.clean, uneven.corrupted, [[PATHS[1]]], lambda logits: logits[:, -1, 3])
    if side == "right":
        with pytest.raises(ValueError, match="prompt 1 is padding alone"):
            discover.path_effects(model, uneven._replace(clean=empty), PATHS)


def test_rows_without_padding_have_the_same_numbers_to_the_bit() -> None:
    model, change = make_model(), [parse_change("L0H1")]
    cfg = model.cfg
    plain, weights = forward.weights_of(model), forward.weights_of(LEFT)
    one, other = (
        next(changed_losses.blocks(w, cfg, TEXT, change, substitutes.means(w, cfg, TEXT))) for w in (plain, weights)
    )
    assert torch.equal(one.changed, other.changed)
    assert torch.equal(one.clean, other.clean)
