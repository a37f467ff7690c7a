"""A text of the user's own: its numbers are those of the model and of hooks, and what is shown needs nothing else."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models

from ablations import changed_losses, effects, heads
from ablations.models import Model
from ablations.paths import cut, parse_path
from experiments.investigate.investigation import Investigation
from experiments.investigate.own_text import encoded, visible
from experiments.investigate.prompts import page
from experiments.investigate.prompts.prompt import Prompt
from tests.experiments.pages.page_checks import content, faults

pytestmark = pytest.mark.usefixtures("small")
TEXT = "def area(width, height):\n    return width * height\n"
PATHS = ("L0H1->L1H2.k", "L0H0->L1H1.v", "L1H2->output")


@pytest.fixture(scope="module")
def inv(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Investigation:
    return Investigation(trained / "runs/tiny-seed0", out=tmp_path_factory.mktemp("prompts") / "out")


@pytest.fixture(scope="module")
def prompt(inv: Investigation) -> Prompt:
    return inv.on(TEXT)


@pytest.fixture(scope="module")
def model(inv: Investigation) -> Model:
    return inv.run.model(inv.step)


@pytest.fixture(scope="module")
def row(inv: Investigation) -> torch.Tensor:
    start = inv.run.tokenizer.token_to_id("<|endoftext|>")
    return torch.tensor([start, *inv.run.tokenizer.encode(TEXT, add_special_tokens=False).ids])


def test_tokens_and_bos_are_handled(inv: Investigation, prompt: Prompt, row: torch.Tensor) -> None:
    assert prompt.ids.tolist() == row.tolist() and prompt.tokens[0] == "<|endoftext|>"
    assert "".join(prompt.tokens[1:]) == TEXT
    assert prompt.loss.index.names == ["position", "token"]
    assert prompt.loss.index.tolist() == list(enumerate(prompt.tokens))[1:]
    assert inv.on(TEXT).ids.tolist() != inv.on(TEXT[1:]).ids.tolist(), "negative control: another text"


def test_losses_and_predictions_are_those_of_the_model(prompt: Prompt, model: Model, row: torch.Tensor) -> None:
    with torch.no_grad():
        logits = model(row[None])[0]
    torch.testing.assert_close(prompt.logits, logits, atol=1e-5, rtol=1e-5)
    losses = F.cross_entropy(logits[:-1], row[1:], reduction="none").numpy()
    np.testing.assert_allclose(prompt.loss, losses, atol=1e-5)
    assert np.abs(prompt.loss.to_numpy()[:-1] - losses[1:]).max() > 0.1, "negative control: a token too late"
    probabilities = logits.softmax(-1)
    assert len(prompt.predictions) == 5 * len(row)
    for position in (0, 3, len(row) - 1):
        shares, ids = probabilities[position].topk(5)
        at = prompt.predictions.loc[position]
        np.testing.assert_allclose(at.probability, shares, atol=1e-5)
        assert at.prediction.iloc[0] == prompt.snapshot.cells.run.tokenizer.decode(
            [int(ids[0])], skip_special_tokens=False
        )
        assert at.index.get_level_values("rank").tolist() == [1, 2, 3, 4, 5]


def test_attention_is_the_models_own_and_sums_to_one(prompt: Prompt, model: Model, row: torch.Tensor) -> None:
    _, cache = model.run_with_cache(row[None])
    attention = prompt.attention
    assert attention.dims == ("head", "query", "key") and attention.shape == (8, len(row), len(row))
    for head in attention["head"].values:
        layer, number = int(head[1]), int(head[3])
        expected = cache[f"blocks.{layer}.attn.hook_pattern"][0, number]
        np.testing.assert_allclose(attention.sel(head=head), expected, atol=1e-6)
    np.testing.assert_allclose(attention.sum("key"), 1, atol=1e-5)
    assert (np.triu(attention.sel(head="L1H2").values, 1) == 0).all(), "no token attends to a later one"
    assert float(np.abs(attention.sel(head="L1H2") - attention.sel(head="L1H3")).max()) > 1e-3, "negative control"
    assert attention["key_token"].values.tolist() == prompt.tokens


def test_effects_of_heads_are_those_of_hooks(prompt: Prompt, model: Model, row: torch.Tensor) -> None:
    reference = prompt.snapshot.cells.inputs.reference
    assert list(prompt.heads.columns) == prompt.snapshot.heads and prompt.heads.index.equals(prompt.loss.index)
    for name, head in (("L0H1", (0, 1)), ("L1H2", (1, 2))):
        expected = effects.token_effects(model, row[None], heads.mean(model, [head], reference))[0]
        np.testing.assert_allclose(prompt.heads[name], expected, atol=1e-5)
        other = effects.token_effects(model, row[None], heads.mean(model, [(head[0], 0)], reference))[0]
        assert np.abs(prompt.heads[name] - other.numpy()).max() > 1e-4, "negative control: another head"


def test_effects_of_paths_are_those_of_hooks(prompt: Prompt, model: Model, row: torch.Tensor) -> None:
    assert prompt.paths.shape == (len(row) - 1, 4 * 4 * 3 + 8)
    values = heads.mean_z(model, [(0, 0), (0, 1), (1, 2)], prompt.snapshot.cells.inputs.reference)
    for name in PATHS:
        expected = effects.token_effects(model, row[None], cut(model, [parse_path(name)], values))[0]
        np.testing.assert_allclose(prompt.paths[name], expected, atol=1e-5)
    assert prompt.paths.round(7).T.drop_duplicates().shape[0] > 40, "negative control: paths differ"


def test_without_is_the_model_under_the_same_hooks(prompt: Prompt, model: Model, row: torch.Tensor) -> None:
    without = prompt.without("L1H2", "L0H1->L1H3.k+L0H0->output")
    assert without.name == "L1H2+L0H1->L1H3.k+L0H0->output"
    values = heads.mean_z(model, [(0, 0), (0, 1), (1, 2)], prompt.snapshot.cells.inputs.reference)
    hooks = cut(model, ["L0H1->L1H3.k", "L0H0->output"], values) + heads.replace({(1, 2): values[1, 2]})
    logits = effects.run(model, row[None], hooks)[0]
    torch.testing.assert_close(without.logits, logits, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(
        without.change.change, effects.token_effects(model, row[None], hooks)[0].numpy(), atol=1e-5
    )
    np.testing.assert_allclose(without.loss - prompt.loss, without.change.change, atol=1e-12)
    assert without.predictions.prediction.loc[3].iloc[0] == prompt.snapshot.cells.run.tokenizer.decode(
        [int(logits[3].argmax())], skip_special_tokens=False
    )
    assert float((without.logits - prompt.logits).abs().max()) > 1e-3, "negative control: the intact model"


def test_one_part_removed_is_its_column(prompt: Prompt) -> None:
    for name, table in (("L1H2", prompt.heads), ("L0H1->L1H2.k", prompt.paths)):
        np.testing.assert_allclose(prompt.without(name).change.change, table[name], atol=1e-5)


def test_without_nothing_is_the_intact_model(prompt: Prompt) -> None:
    nothing = prompt.without()
    assert nothing.name == "nothing" and torch.equal(nothing.logits, prompt.logits)
    assert (nothing.change.change == 0).all() and (nothing.change.predicted == nothing.change.predicted_without).all()
    pd.testing.assert_frame_equal(nothing.predictions, prompt.predictions)
    assert (prompt.without("L1H2").change.change != 0).any(), "negative control"


def test_everything_is_computed_once(inv: Investigation, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    real = changed_losses.blocks

    def counted(*arguments: object, **more: object) -> object:
        counts.append(1)
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(changed_losses, "blocks", counted)
    fresh = inv.on(TEXT)
    assert not {"logits", "clean", "heads", "paths", "attention"} & set(vars(fresh)), "nothing before it is asked for"
    for _ in range(2):
        _ = fresh.heads, fresh.paths, fresh.loss, fresh._repr_html_(), repr(fresh)
    assert len(counts) == 2
    assert fresh.clean is fresh.clean and fresh.attention is fresh.attention


def test_a_text_as_long_as_the_context_works_and_a_longer_one_is_cut(inv: Investigation, model: Model) -> None:
    tokenizer, n_ctx = inv.run.tokenizer, inv.snapshot.cells.inputs.n_ctx
    words = "x = y + 1\n" * n_ctx
    ids = tokenizer.encode(words, add_special_tokens=False).ids
    fits = tokenizer.decode(ids[: n_ctx - 1])
    assert len(tokenizer.encode(fits, add_special_tokens=False).ids) == n_ctx - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = inv.on(fits)
    assert len(whole.ids) == n_ctx and whole.heads.shape == (n_ctx - 1, 8) and whole.own.source == "a text of your own"
    assert np.isfinite(whole.heads.to_numpy()).all() and "<table>" in whole._repr_html_()
    with torch.no_grad():
        torch.testing.assert_close(whole.logits, model(whole.ids[None])[0], atol=1e-5, rtol=1e-5)
    over = tokenizer.decode(ids[:n_ctx])
    with pytest.warns(UserWarning, match=f"the text has {n_ctx} tokens, {n_ctx - 1} fit the context"):
        cut_off = inv.on(over)
    assert cut_off.ids.tolist() == whole.ids.tolist()
    assert f"the first {n_ctx - 1} of {n_ctx} tokens" in repr(cut_off)
    grid = inv["L1H2"].on(fits).attention
    assert len(grid.tokens) == n_ctx and 'class="scroll long"' in grid._repr_html_(), "a head's own grid is whole too"
    assert "scroll long" not in inv["L1H2"].on("x = y").attention._repr_html_(), "negative control"


def test_one_token_is_enough_since_bos_stands_before_it(inv: Investigation, model: Model) -> None:
    one = inv.on("x")
    assert len(one.ids) == 2 and one.heads.shape == (1, 8) and "where the heads attend" in one._repr_html_().lower()
    with torch.no_grad():
        expected = float(F.cross_entropy(model(one.ids[None])[0, :1], one.ids[1:]))
    assert float(one.loss.item()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda inv: inv.on(""), "the text has no token"),
        (lambda inv: inv.on(TEXT).without("L7H0"), "no head L7H0"),
        (lambda inv: inv.on(TEXT).without("L0H1->L0H2.k"), "must be in an earlier layer"),
        (lambda inv: inv.on(TEXT).without("nine"), "'nine' is not a head"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(inv: Investigation, wrong, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        wrong(inv)
    assert "\n" not in str(raised.value)


def test_a_text_that_the_tokenizer_cannot_encode_is_said_in_one_line() -> None:
    few = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "known": 1}, unk_token="<unknown>"))
    assert encoded(few, "known", 8).row.tolist() == [0, 1], "negative control"
    with pytest.raises(ValueError, match="cannot encode this text") as raised:
        encoded(few, "another", 8)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" and", "·and"),
        ("\n", "↵"),
        ("\n   ", "↵·×3"),
        ("\n \n", "↵·↵"),
        ("    ", "·×4"),
        ("  x", "··x"),
        ("\t\r\n", "⇥␍↵"),
        ("a   b ", "a·×3b·"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_white_space_in_tokens_is_visible(token: str, shown: str) -> None:
    assert visible(token) == shown


def test_the_page_needs_nothing_else_and_escapes_the_text(inv: Investigation, tmp_path: Path) -> None:
    hostile = inv.on('<script>alert("x")</script> & <b>')
    written = hostile.save(tmp_path / "x.html").read_text()
    assert content(hostile._repr_html_()) == content(written) and "<script" not in written
    assert faults(written) == [] and written.count("<img alt=") == 8
    assert 'tabindex=0 role=region aria-label="effects of heads on each token"' in written
    without = hostile.without("L1H2").save(tmp_path / "w.html").read_text()
    assert "<script" not in without and "Without L1H2" in without
    assert hostile.save().parent == inv.snapshot.cells.folder / "prompts"
    assert hostile.save() != inv.at(10).on(hostile.text).save() != inv.on(TEXT).save(), "no text overwrites another"


def test_the_page_says_the_numbers(prompt: Prompt) -> None:
    shown = prompt._repr_html_()
    assert f"{prompt.loss.mean():.2f} nats a token" in shown
    name = prompt.heads.abs().max().idxmax()
    place = int(prompt.heads[name].abs().to_numpy().argmax())
    assert f"{name}: {prompt.heads[name].iloc[place]:+.3f}" in shown
    largest = prompt.paths.abs().mean().idxmax()
    sizes = prompt.paths.abs().mean()
    row = f"<td><b>{sizes[largest]:.3f}</b></td><td>{prompt.paths[largest].mean():+.3f}"
    assert f"{largest.replace('>', '&gt;')}</td>{row}" in shown
    printed = [float(size) for size in re.findall(r"<td><b>([0-9.]+)</b></td>", shown)]
    assert printed == [round(size, 3) for size in sizes.nlargest(page.PATHS)], "in the order that is said"
    assert prompt.paths.mean()[sizes.nlargest(page.PATHS).index].is_monotonic_decreasing is False, "negative control"
    assert "·" in repr(prompt) and f"{prompt.loss.mean():.2f} nats a token" in repr(prompt)
    assert "change" in repr(prompt.without("L1H2"))


def test_of_many_heads_and_paths_some_are_shown(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("HEADS", 3), ("MAPS", 2), ("MOST_PATHS", 10)):
        monkeypatch.setattr(page, name, few)
    shown = prompt._repr_html_()
    strongest = prompt.heads.abs().mean().nlargest(3).index
    assert re.findall(r"<th scope=col>(L\dH\d)</th>", shown) == sorted(strongest)
    assert shown.count("<img alt=") == 2 and "56 direct paths" in shown


def test_heads_that_are_looked_at_alone(inv: Investigation, prompt: Prompt, tmp_path: Path) -> None:
    alone = Investigation(inv.run, out=tmp_path / "alone", heads=["L1H2"]).on(TEXT)
    assert list(alone.heads.columns) == ["L1H2"] == alone.attention["head"].values.tolist()
    pd.testing.assert_series_equal(alone.heads["L1H2"], prompt.heads["L1H2"])
    assert alone.paths.shape[1] == 4 * 3 + 1 and all("L1H2" in name for name in alone.paths)


def test_without_text_for_means_the_rest_is_still_told(inv: Investigation, tmp_path: Path, corpus_file: Path) -> None:
    lines = corpus_file.read_text().splitlines(keepends=True)
    (tmp_path / "few.jsonl").write_text("".join(lines[:: len(lines) // 40]))
    short = Investigation(inv.run, corpus=f"text:{tmp_path / 'few.jsonl'}", out=tmp_path / "out").on(TEXT)
    assert "Not measured" in short._repr_html_() and "head" not in short.summary
    pd.testing.assert_series_equal(short.loss, inv.on(TEXT).loss)
    assert "head" in inv.on(TEXT).summary, "negative control"


def test_another_checkpoint_is_another_model(inv: Investigation, prompt: Prompt) -> None:
    early = inv.at(10).on(TEXT)
    assert float((early.logits - prompt.logits).abs().max()) > 0.1 and "step 10" in repr(early)
