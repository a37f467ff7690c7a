"""Text in, rows out: sources, splits, copies, tokens, and what is refused."""

import ast
import json

import numpy as np
import pandas
import pytest
import torch

from ablations.not_measurable import NotMeasurable
from experiments import corpora
from experiments.corpora import documents, python_sources
from experiments.corpora import tokenizer as tokenizer_of
from experiments.runs import train
from experiments.runs.presets import get

MODULE = '''"""The module's text."""
import os  # a comment


def first(a, b):
    """Adds."""
    # nothing
    text = "not a # comment"
    return a + b, text, """nor
# this"""


class Thing:
    """Only a docstring."""
'''


def test_code_and_prose_are_separated(tmp_path) -> None:
    path = tmp_path / "module.py"
    path.write_text(MODULE)
    source = python_sources.read_source(str(path))
    assert source is not None
    assert source.docstrings == ["The module's text.", "Adds.", "Only a docstring."]
    code = "\n".join(source.lines)
    assert "comment" in code
    assert "# a comment" not in code
    assert "Adds" not in code
    kept = ast.parse(code).body
    assert [type(node).__name__ for node in kept] == ["Import", "FunctionDef", "ClassDef"]
    assert "# this" in code


def test_stripping_comments_never_changes_the_syntax_tree() -> None:
    for module in (ast, json, torch.nn.functional, np.testing, python_sources):
        with open(module.__file__) as file:  # noqa: PTH123
            text = file.read()
        assert ast.dump(ast.parse(python_sources.strip_comments(text))) == ast.dump(ast.parse(text))


def test_unreadable_files_are_skipped_not_fatal(tmp_path) -> None:
    for name, content in (("bad.py", b"def ("), ("latin.py", b"x = '\xe9'"), ("null.py", b"x = 1\0")):
        (tmp_path / name).write_bytes(content)
        assert python_sources.read_source(str(tmp_path / name)) is None
    assert python_sources.read_source(str(tmp_path / "missing.py")) is None


def function(name: str, value: str) -> str:
    return (
        f"def {name}(a, b):\n"
        + "".join(f"    {name}{i} = a.x{i}({value}, b)\n" for i in range(10))
        + f"    return {name}1\n"
    )


def test_copies_with_other_names_are_dropped(tmp_path) -> None:
    texts = {
        "a": function("one", "1"),
        "b": "import os\n\n" + function("two", "'z'") + "\n\ndef small(x):\n    return x\n",
    }
    texts["c"] = function("three", "1 + 1")  # another tree
    sources = []
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        sources.append((f"ffff{name}", python_sources.read_source(str(tmp_path / name))))
    documents, skipped = python_sources._without_copies([*sources, ("ffffffffd", None)])
    assert skipped == 1
    joined = "\n".join(document.text for document in documents)
    assert ("one1" in joined, "two1" in joined, "three1" in joined, "small" in joined) == (True, False, True, True)


def test_brackets_and_quotes_are_tokens_of_their_own(corpus_file) -> None:
    tokenizer = tokenizer_of.train_tokenizer(f"text:{corpus_file}", 400)
    own = {tokenizer.token_to_id(c) for c in tokenizer_of.OWN_TOKENS}
    assert None not in own
    merged = [
        t
        for t, i in tokenizer.get_vocab().items()
        if i not in own and t != tokenizer_of.BOS and set(t) & set(tokenizer_of.OWN_TOKENS)
    ]
    assert merged == []
    text = "f([(\"a\", 'b')], {x: `y`}) \n\tété "
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.fixture
def tokenizer(corpus_file):
    return tokenizer_of.train_tokenizer(f"text:{corpus_file}", 400)


def test_rows_are_bos_and_the_stream(corpus_file, tokenizer) -> None:
    corpus = corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=32, split="train")
    bos = tokenizer.token_to_id(tokenizer_of.BOS)
    assert corpus.tokens.dtype == np.uint16
    assert (corpus.tokens[:, 0] == bos).all()
    assert corpus.batch([0, 1]).dtype == torch.int64
    tokens, documents = np.asarray(corpus.tokens)[:, 1:], np.asarray(corpus.documents)[:, 1:]
    ends = tokens == bos
    assert ends.sum() > 10
    same_row = documents[:, 1:] == documents[:, :-1]
    assert (same_row == ~ends[:, :-1]).all()  # a new document starts after each BOS, and only there


def test_splits_share_no_document(corpus_file, tokenizer) -> None:
    train_texts, test_texts = (set(documents.texts(f"text:{corpus_file}", split)) for split in ("train", "test"))
    assert len(test_texts) > 100
    assert not train_texts & test_texts
    assert 0.05 < len(test_texts) / len(train_texts | test_texts) < 0.15


def test_the_fingerprint_follows_content_and_context(tmp_path, tokenizer) -> None:
    def fingerprint(text: str, n_ctx: int = 16) -> str:
        path = tmp_path / "t.jsonl"
        path.write_text("\n".join(json.dumps({"text": f"{text} {i} " * 40}) for i in range(30)))
        return corpora.load(f"text:{path}", tokenizer=tokenizer, n_ctx=n_ctx, split="train").fingerprint

    assert fingerprint("a") == fingerprint("a")
    assert len({fingerprint("a"), fingerprint("b"), fingerprint("a", 8)}) == 3


def test_interleaving_keeps_the_share_at_every_length(corpus_file, tokenizer) -> None:
    first = corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=32, split="test")
    second = corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=32, split="train")
    mixed = corpora.interleave(first, second, 0.3)
    from_first = np.asarray(mixed.documents[:, 1]) <= first.documents.max()
    assert np.abs(np.cumsum(from_first) - 0.3 * np.arange(1, len(mixed) + 1)).max() <= 1
    assert np.array_equal(mixed.tokens[from_first][:5], first.tokens[:5])


@pytest.mark.parametrize(
    ("name", "message"),
    [("nonsense", "unknown corpus"), ("python:rust", "unknown corpus"), ("text:/nowhere", "no such file")],
)
def test_unknown_corpora_are_named(name: str, message: str, tokenizer) -> None:
    with pytest.raises(ValueError, match=message):
        corpora.load(name, tokenizer=tokenizer, n_ctx=16, split="train")


def test_empty_and_unreadable_corpora_are_clear_errors(tmp_path, tokenizer) -> None:
    with pytest.raises(ValueError, match="holds no"):
        corpora.load(f"text:{tmp_path}", tokenizer=tokenizer, n_ctx=16, split="train")
    (tmp_path / "bad.jsonl").write_text('{"no": "text"}\n')
    (tmp_path / "worse.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="2 of them unreadable"):
        corpora.load(f"text:{tmp_path}", tokenizer=tokenizer, n_ctx=16, split="train")
    (tmp_path / "good.txt").write_text("short\n\n\nalso short")
    with pytest.raises(ValueError, match=r"tokens of (training|held-out) text"):
        corpora.load(f"text:{tmp_path}", tokenizer=tokenizer, n_ctx=64, split="train")


LINES = ["plain", "a \u2028 b", "c \u0085 d", "e \r f"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("plain.txt", b"first\n\n\nsecond", ["first\n", "second\n"]),
        ("windows.txt", b"\xef\xbb\xbffirst\r\n\r\n\r\nsecond", ["first\n", "second\n"]),
        ("windows.jsonl", b'\xef\xbb\xbf{"text": "first"}\r\n{"text": "second"}\r\n', ["first", "second"]),
        ("null.jsonl", b'{"text": "a"}\n{"text": null}\n\n{"text": ""}\n{"text": "b"}\n', ["a", "b"]),
        (
            "separators.jsonl",
            "\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in LINES).encode(),
            sorted(LINES),
        ),
    ],
)
def test_files_from_elsewhere(name: str, content: bytes, expected: list[str], tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    texts = [text for split in ("train", "test") for text in documents.texts(f"text:{tmp_path / name}", split)]
    assert sorted(texts) == expected


def test_a_null_in_parquet_is_left_out_and_a_number_is_no_text(tmp_path) -> None:
    pandas.DataFrame({"text": ["a", None, "", "b"]}).to_parquet(tmp_path / "x.parquet")
    texts = [text for split in ("train", "test") for text in documents.texts(f"text:{tmp_path}", split)]
    assert sorted(texts) == ["a", "b"]
    pandas.DataFrame({"text": [1.5, 2.5]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="1 of them unreadable"):
        list(documents.texts(f"text:{tmp_path}", "train"))


def test_the_fingerprint_is_that_of_what_is_loaded(corpus_file, tokenizer) -> None:
    for split in ("train", "test"):
        asked = {"tokenizer": tokenizer, "n_ctx": 24, "split": split}
        assert (
            corpora.fingerprint(f"text:{corpus_file}", **asked)
            == corpora.load(f"text:{corpus_file}", **asked).fingerprint
        )


def test_two_loads_are_the_same_arrays(corpus_file, tokenizer, tmp_path) -> None:
    asked = {"tokenizer": tokenizer, "split": "test"}
    first = corpora.load(f"text:{corpus_file}", n_ctx=24, **asked)
    again = corpora.load(
        f"text:{corpus_file}", n_ctx=24, **asked | {"tokenizer": type(tokenizer).from_str(tokenizer.to_str())}
    )
    assert first.tokens is again.tokens and first.documents is again.documents
    copied = tmp_path / f"copied{corpus_file.suffix}"
    copied.write_bytes(corpus_file.read_bytes())
    other_place = corpora.load(f"text:{copied}", n_ctx=24, **asked)
    assert other_place.tokens is first.tokens and other_place.name == f"text:{copied}"
    assert corpora.load(f"text:{corpus_file}", n_ctx=32, **asked).tokens is not first.tokens


def test_what_a_text_does_not_allow_is_told_from_a_mistake(corpus_file, tokenizer) -> None:
    corpus = corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=24, split="test")
    with pytest.raises(NotMeasurable, match="rows, 1000000 are needed"):
        corpus.take(10**6)
    with pytest.raises(NotMeasurable, match=r"tokens of training text .*, and a row takes 9999998"):
        corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=9_999_999, split="train")
    with pytest.raises(ValueError, match="take at least one") as caught:
        corpus.take(0)
    assert not isinstance(caught.value, NotMeasurable)
    with pytest.raises(ValueError, match="n_ctx=1: a row is BOS and at least one token"):
        corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=1, split="train")


def test_sequential_training_stops_at_the_end_of_the_text(corpus_file, tokenizer) -> None:
    corpus = corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=64, split="train")
    data = train.TrainingData((corpus,), (1.0,))
    paper = get("paper")
    assert torch.equal(data.batch(paper, 0, 1), corpus.batch(slice(100, 200)))
    with pytest.raises(ValueError, match="the corpus ends before step"):
        data.batch(paper, 0, 10**6)


def test_the_paper_preset_is_the_papers_configuration() -> None:
    paper = get("paper")
    assert (paper.d_model, paper.n_heads, paper.d_head, paper.n_ctx, paper.d_vocab) == (256, 8, 32, 1024, 5000)
    assert (paper.steps, paper.batch_size, paper.lr, paper.weight_decay) == (50_000, 100, 1e-3, 0.05)
    assert (paper.betas, paper.max_grad_norm, paper.precision) == ((0.9, 0.999), 1.0, "fp32")
    assert [paper.learning_rate(step) for step in (0, 1, 49_999)] == [1e-3] * 3
    assert (len(paper.checkpoints), paper.checkpoints[-1]) == (107, 50_000)
