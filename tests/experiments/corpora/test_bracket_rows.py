"""Structure of a corpus's rows and the prompts cut from them, with the bundled run's tokenizer."""

import ast
import io
import json
import tokenize
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from circuits import tasks
from circuits.brackets import BRACKETS, KINDS, OPENERS
from circuits.tasks import Task
from experiments import corpora, runs
from experiments.corpora import bracket_rows, documents
from experiments.corpora.bracket_rows import RowStructure
from experiments.corpora.corpus import Corpus
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.tasks import bracket_effects, bracket_prompts, quote_prompts

RUN = runs.open_run("mini-seed0")


@pytest.fixture(scope="module")
def on(corpus_file: Path) -> Inputs:
    return Inputs(RUN, replace(plan.default_plan(f"text:{corpus_file}", 256), text_rows=8, reference_rows=8))


@pytest.fixture(scope="module")
def rows(on: Inputs) -> Corpus:
    return on.free_text.part(slice(0, 100))


@pytest.fixture(scope="module")
def found(rows: Corpus) -> RowStructure:
    return bracket_rows.of_rows(rows)


def stacked(text: str) -> list[tuple[int, int, str]]:
    """Closer, opener and enclosing closer of every bracket that stands outside the strings of the syntax tree.

    Its own reading, from the places of `ast`'s nodes; for ASCII text without comments.
    """
    starts = np.cumsum([0, *map(len, text.splitlines(keepends=True))])
    covered = np.zeros(len(text), bool)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)):
            first, last = ((starts[line - 1] + column) for line, column in (
                (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
            ))  # fmt: skip
            covered[first:last] = True
    closers, opened = [], []
    for at in np.flatnonzero(~covered).tolist():
        if text[at] in OPENERS:
            opened.append(at)
        elif text[at] in BRACKETS:
            opener = opened.pop()
            closers.append((at, opener, OPENERS[text[opened[-1]]] if opened else ""))
    return closers


def test_rows_have_the_structure_of_their_documents(rows: Corpus, found: RowStructure) -> None:
    texts = list(documents.texts(rows.name, rows.split))
    compared = 0
    for number in np.unique(rows.documents):
        text = texts[number]
        if not text.isascii() or "#" in text:
            continue
        spans = RUN.tokenizer.encode(text).offsets
        closers = {at: rest for at, *rest in stacked(text)}
        for row, pos in zip(*np.nonzero(rows.documents[:, 1:] == number), strict=True):
            pos += 1
            if rows.tokens[row, pos] == corpora.bos(RUN.tokenizer):
                continue
            start, end = spans[rows.positions[row, pos]]
            truth = closers.get(start + len(text[start:end]) - len(text[start:end].lstrip()))
            kind = found.kind[row, pos]
            assert (0 <= kind < len(BRACKETS)) == (truth is not None)
            if truth is None:
                continue
            opener, enclosing = truth
            assert found.enclosing[row, pos] == (KINDS.index(enclosing) if enclosing else -1)
            assert found.nested[row, pos] == (enclosing not in ("", KINDS[kind]))
            if (at := found.opener[row, pos]) >= 0:
                assert spans[rows.positions[row, at]][0] == opener
                assert rows.documents[row, at] == number
            compared += 1
    assert compared > 100


def test_bos_closes_nothing_and_places_are_in_the_row(rows: Corpus, found: RowStructure) -> None:
    is_bos = np.asarray(rows.tokens) == corpora.bos(RUN.tokenizer)
    assert is_bos[:, 0].all() and not found.known[is_bos].any() and (found.kind[is_bos] == -1).all()
    assert found.known[~is_bos].mean() > 0.9
    columns = np.broadcast_to(np.arange(256), found.kind.shape)
    for place in (found.opener, found.outer):
        assert ((place == -1) | ((place > 0) & (place < columns))).all()
    assert (found.outer[found.outer >= 0] < found.opener[found.outer >= 0]).sum() > 0
    assert (found.opener[found.kind == -1] == -1).all()


def test_rows_of_another_text_are_refused(rows: Corpus) -> None:
    shifted = replace(rows, documents=np.asarray(rows.documents) + 1)
    with pytest.raises(ValueError, match="does not encode to the tokens"):
        bracket_rows.of_rows(shifted)


def test_of_code_and_prose_only_code_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, prose = "x = [f(1), {2: (3,)}]\n", "lists [1] and (2) of things\n"
    written = [
        (kind, "test", f"{text * 30}y{n}") for n in range(40) for kind, text in (("code", code), ("prose", prose))
    ]
    (tmp_path / "documents.jsonl").write_text("".join(json.dumps(document) + "\n" for document in written))
    (tmp_path / "fingerprint").write_text("made up")
    monkeypatch.setattr(documents, "folder_of", lambda name: tmp_path)
    both = corpora.load("python", tokenizer=RUN.tokenizer, n_ctx=64, split="test")
    found = bracket_rows.of_rows(both)
    assert len(both) > 40
    of_prose = np.asarray(both.documents) >= 40
    assert of_prose.any() and not found.known[of_prose].any() and (found.kind[of_prose] == -1).all()
    is_bos = np.asarray(both.tokens) == corpora.bos(RUN.tokenizer)
    assert found.known[~of_prose & ~is_bos].all()
    assert {KINDS[kind] for kind in np.unique(found.kind[found.kind >= 0])} == {")", "]", "}"}
    only = corpora.load("python:prose", tokenizer=RUN.tokenizer, n_ctx=64, split="test")
    assert not bracket_rows.of_rows(only).known.any()


@pytest.fixture(scope="module")
def task(on: Inputs) -> Task:
    return bracket_prompts.task(on, 128)


def decoded(tokens: np.ndarray) -> list[str]:
    return [RUN.tokenizer.decode([token]) for token in tokens]


def test_prompts_are_balanced(task: Task) -> None:
    half = len(task.right) // 2
    assert len(task.right) >= bracket_prompts.FEWEST
    for part in (slice(0, half), slice(half, None)):
        pairs = Counter(zip(decoded(task.right[part].tolist()), decoded(task.wrong[part].tolist()), strict=True))
        assert all(pairs[a, b] == pairs[b, a] for a, b in pairs)


def test_corrupted_prompts_have_another_opener_and_nothing_else(task: Task) -> None:
    at = (task.clean != task.corrupted).nonzero()
    assert at[:, 0].tolist() == list(range(len(task.clean)))
    before = decoded(task.clean[at[:, 0], at[:, 1]].tolist())
    after = decoded(task.corrupted[at[:, 0], at[:, 1]].tolist())
    assert [OPENERS[opener] for opener in before] == decoded(task.right.tolist())
    assert [OPENERS[opener] for opener in after] == decoded(task.wrong.tolist())


def test_prompts_stand_in_the_text_before_their_answer(task: Task, on: Inputs) -> None:
    texts = list(documents.texts(on.plan.corpus, "test"))
    for prompt, right in zip(task.clean.tolist(), task.right.tolist(), strict=True):
        assert prompt[0] == corpora.bos(RUN.tokenizer)
        words = RUN.tokenizer.decode([*prompt[1:], right])
        assert any(words in text for text in texts)


def test_the_right_answer_closes_the_innermost_bracket(task: Task) -> None:
    """By a stack over the prompt's tokens; prompts that hold a quote or a comment are left out."""
    half, checked = len(task.right) // 2, 0
    for number, prompt in enumerate(task.clean.tolist()):
        words = decoded(prompt)
        if any(mark in word for word in words for mark in "'\"#"):
            continue
        opened: list[str] = []
        for word in words:
            if word in OPENERS:
                opened.append(OPENERS[word])
            elif word in BRACKETS and opened:
                opened.pop()
        right, wrong = decoded([int(task.right[number]), int(task.wrong[number])])
        assert opened[-1] == right
        if number >= half:
            assert opened[-2] == wrong
        checked += 1
    assert checked >= 5


def test_prompts_are_the_same_every_time_and_others_with_another_seed(
    on: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = bracket_rows.of_rows(on.free_text.part(slice(0, bracket_prompts.ROWS)))
    monkeypatch.setattr(bracket_rows, "of_rows", lambda rows: read)
    first, again = (bracket_prompts.task(Inputs(RUN, on.plan), 128) for _ in range(2))
    other = bracket_prompts.task(Inputs(RUN, replace(on.plan, seed=1)), 128)
    assert all((a == b).all() for a, b in zip(first[1:5], again[1:5], strict=True))
    assert first.clean.tolist() != other.clean.tolist()


def test_too_little_text_and_unfit_tokenizers_are_refused(on: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bracket_prompts, "ROWS", 2)
    with pytest.raises(ValueError, match="balanced bracket prompts"):
        bracket_prompts.task(on, 128)
    words = Tokenizer.from_str(
        json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                    "pre_tokenizer": None, "post_processor": None, "decoder": None,
                    "model": {"type": "WordLevel", "vocab": {"(": 0, "))": 1}, "unk_token": "("}})
    )  # fmt: skip
    with pytest.raises(ValueError, match="no token of its own"):
        bracket_prompts.bracket_tokens(words)


def test_quote_prompts_end_in_a_string_whose_opener_decides(on: Inputs) -> None:
    built = quote_prompts.task(on, 64)
    assert built.name == "quotes"
    assert Counter(decoded(built.right.tolist())) == Counter(decoded(built.wrong.tolist()))
    texts = list(documents.texts(on.plan.corpus, "test"))
    for clean, corrupted, right, wrong in zip(*built[1:5], strict=True):
        (at,) = (clean != corrupted).nonzero().flatten().tolist()
        assert (int(clean[at]), int(corrupted[at])) == (int(right), int(wrong))
        inside = decoded(clean[at + 1 :].tolist())
        assert inside and inside[0] != decoded([int(right)])[0]
        string = RUN.tokenizer.decode([*clean[at:].tolist(), int(right)])
        assert any(string in text for text in texts)
        assert "\n" not in string
        assert len(list(tokenize.generate_tokens(io.StringIO(string).readline))) == 3  # the string and two ends
    with torch.no_grad():
        effects = [
            tasks.logit_difference(built, RUN.model(step)(built.clean)) for step in (RUN.steps[0], RUN.steps[-1])
        ]
    assert effects[1].mean() > 3
    assert abs(effects[0].mean()) < 0.5


def test_documents_take_turns() -> None:
    """Nested or not, and both ways round of one pair of types: the first three not nested are of three documents."""
    kinds = [(0, 1), (1, 0)] * 12
    right, wrong = np.array(kinds).T
    nested = np.repeat([0, 1], 12)
    document = np.array([0, 0] * 4 + [1, 1, 2, 2] + [5, 6] * 6)
    candidates = bracket_prompts.Candidates(np.arange(24), np.arange(24), right, wrong, nested, document)
    chosen = bracket_prompts.balanced(candidates, 12, np.random.default_rng(0))
    assert len(chosen) == len(set(chosen.tolist())) == 12
    assert sorted(document[chosen[:3]]) == sorted(document[chosen[3:6]]) == [0, 1, 2]


def test_the_table_tells_what_a_run_has_learned(on: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bracket_effects, "ROWS", 24)
    before, after = (bracket_effects.table(Cells(tmp_path, RUN, on.plan), step, 61_200) for step in (0, RUN.steps[-1]))
    assert (after.log_odds > 2).all() and (after.share_right > 0.8).all()
    assert (np.abs(before.log_odds) < 1.5).all()
    assert (after.closers <= after.all_closers).all() and after.attrs["rows"] == 24
    assert after.sizes == {"group": 3, "change": 16 + 64}
    assert after.lost.sel(group="nested").max() > 1
    lines = bracket_effects.sentences(after)
    assert lines[0].startswith("nested: log-odds of the right closer") and "lost without L" in lines[1]
