"""The verb `types`: the same bits by any workers, clear errors, and texts in which there is nothing to find."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from circuits import classify, multigrams
from circuits.multigrams import LONGEST, Patterns
from experiments import corpora, runs
from experiments.__main__ import main
from experiments.heldout import head_types, labelled_tokens, learned_multigrams, text_multigrams
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS
from experiments.pages import type_files
from experiments.plots import head_types as picture
from experiments.results.cells import Cells
from experiments.results.file_names import variant
from experiments.results.plan import default_plan

TOKENS = 1500


@pytest.fixture(scope="module")
def code_file(corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginnings of the functions: many documents, few tokens."""
    path = tmp_path_factory.mktemp("code") / "short.jsonl"
    texts = [json.loads(line)["text"][:160] for line in corpus_file.read_text().splitlines()]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def prose_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words in random order, without brackets and quotes."""
    path, rng = tmp_path_factory.mktemp("prose") / "words.jsonl", np.random.default_rng(0)
    words = [
        "the",
        "old",
        "house",
        "by",
        "a",
        "river",
        "and",
        "nobody",
        "knew",
        "why",
        "its",
        "windows",
        "face",
        "north",
    ]
    texts = [" ".join(rng.choice(words, 50)) for _ in range(1600)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def cells_of(trained: Path, folder: Path, corpus: Path) -> Cells:
    run = runs.open_run(trained / "runs/tiny-seed0")
    return Cells(folder, run, default_plan(f"text:{corpus}", 64))


def test_the_verb_writes_what_it_says_in_the_same_bits(
    trained: Path, tmp_path: Path, code_file: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(trained)
    out = tmp_path / "out"
    asked = [
        "types",
        "--run",
        "tiny-seed0",
        "--corpus",
        f"text:{code_file}",
        "--tokens",
        str(TOKENS),
        "--out",
        str(out),
    ]
    assert main([*asked, "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    written = [Path(line.removeprefix("wrote ")) for line in lines if line.startswith("wrote ")]
    own = cells_of(trained, out, code_file)
    end = f"60{variant(own.run, own.plan)}"  # the text is not the one that the run was trained on
    assert {path.name for path in written} == {
        *(f"types_{end}.csv", f"multigrams_{end}.csv", f"types_{end}.svg", f"types_{end}.png"),
        f"types{variant(own.run, own.plan)}.html",
    }
    before = {path: path.read_bytes() for path in written}
    cells = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert main([*asked, "--workers", "2"]) == 0  # nothing is repeated
    assert capsys.readouterr().out.splitlines() == lines
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == cells
    assert {path: path.read_bytes() for path in written} == before

    here = cells_of(trained, tmp_path / "here", code_file)  # afresh, without a worker
    found = head_types.table(here, head_types.pass_of_types(here, 60, TOKENS))
    assert {path.name for path in (here.folder / "cells").iterdir()} == {path.name for path in cells}
    for path in (here.folder / "cells").iterdir():
        assert path.read_bytes() == (out / "cells" / path.name).read_bytes(), path.name

    table = pd.read_csv(out / f"tables/types_{end}.csv")
    assert table["head"].tolist() == [f"L{layer}H{head}" for layer in range(2) for head in range(4)]
    assert table.drop(columns="learned, rarefied").notna().all(axis=None)
    assert set(table.type) <= set(classify.TYPES)
    assert [line.split()[:2] for line in lines if line.startswith("L")] == table[["head", "type"]].to_numpy().tolist()
    assert list(pd.read_csv(out / f"tables/multigrams_{end}.csv").columns) == list(type_files.COLUMNS)
    shares = table[[name for name in table if name.startswith("affected ")]].to_numpy()
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (shares.sum(1) >= 1 - 1e-6).all(), "a token may be of several kinds, and is of none or more"

    mined = here.get(TEXT_MULTIGRAMS)
    assert 50 < mined.sizes["pattern"] < mined.attrs["candidates"]
    assert (mined.rate > mined.best).all()
    assert np.exp(mined.log_unigram.values).sum() == pytest.approx(1)
    assert mined.log_unigram.values[corpora.bos(here.run.tokenizer)] == mined.log_unigram.values.min()
    assert float(found.all_heads) > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--step", "7"], "no checkpoint at step 7: choose one of 0, 10, 30, 60"),
        (["--tokens", "0"], "tokens=0: at least one"),
        (["--tokens", "-5"], "tokens=-5: at least one"),
        (["--tokens", str(10**9)], "1000000000 tokens: there are 1 to"),
        (["--run", "nowhere"], "no run 'nowhere'"),
    ],
)
def test_bad_input_is_one_line(
    trained: Path, tmp_path: Path, code_file: Path, monkeypatch, capsys, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(trained)
    asked = ["types", "--run", "tiny-seed0", "--corpus", f"text:{code_file}", "--out", str(tmp_path), *arguments]
    assert main(asked) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""


def test_an_untrained_model_on_text_without_code_or_patterns(
    trained: Path, tmp_path: Path, prose_file: Path, monkeypatch
) -> None:
    monkeypatch.setattr(text_multigrams, "FEWEST", 0.9)  # more hits than any pattern has
    here = cells_of(trained, tmp_path, prose_file)
    wanted = head_types.pass_of_types(here, 0, TOKENS)
    table = head_types.table(here, wanted)
    assert here.get(TEXT_MULTIGRAMS).sizes["pattern"] == 0
    assert table.multigrams.values.tolist() == [0, 0]
    assert not table.learned.values.any()
    assert table.type.values.tolist().count("inactive") >= 6
    assert set(table.type.values) <= {"inactive", "mixed"}
    empty = ["rarefied", *(name for name, values in table.items() if 0 in values.shape)]
    numbers = [table[n].values for n in table if n not in empty and table[n].dtype.kind == "f"]
    assert all(np.isfinite(values).all() for values in numbers)
    assert table.usual.sel(kind=["bracket", "quote", "n-gram", "skip n-gram"]).values.tolist() == [0.0] * 4
    written = type_files.write(here, table, 0)
    assert list(pd.read_csv(written[1]).columns) == list(type_files.COLUMNS)
    assert "The model has 0 n-grams and 0 skip n-grams" in type_files.as_text(here, table, 0)


def test_a_text_that_is_too_short_is_refused(trained: Path, tmp_path: Path, prose_file: Path) -> None:
    path = tmp_path / "short.jsonl"
    path.write_text("".join(prose_file.read_text().splitlines(keepends=True)[:60]))
    here = cells_of(trained, tmp_path, path)
    with pytest.raises(ValueError, match="use more text"):
        head_types.pass_of_types(here, 60)


def completions(seed: int) -> learned_multigrams.Completions:
    """Five multigrams with 40 completions each, the last in one document; the first of two heads knows 0 and 1."""
    rng = np.random.default_rng(seed)
    numbers, tokens = np.repeat(np.arange(5), 40), np.arange(200)
    document = np.where(numbers == 4, 3, tokens % 8)
    effect = 0.01 * rng.standard_normal((2, 4000))
    effect[0, :80] += 1.0
    effect[1, :160] -= 0.1
    effect[:, 160:200] += 5.0
    kept = xr.Dataset({
        "effect": (("change", "token"), effect.astype(np.float32)),
        "document": ("token", np.concatenate([document, np.arange(3800) % 8])),
    })  # fmt: skip
    offsets, context = np.zeros((2, 5, LONGEST), dtype=np.int64)
    offsets[:, 0], offsets[2, 0] = 1, 3
    patterns = Patterns(offsets, context, np.arange(5))
    table = xr.Dataset({
        "offsets": (("pattern", "longest"), patterns.offsets),
        "tokens": (("pattern", "longest"), patterns.tokens),
        "target": ("pattern", patterns.targets),
    })  # fmt: skip
    return learned_multigrams.Completions(table, kept, numbers, tokens)


def test_a_multigram_of_one_document_is_neither_learned_nor_in_the_way() -> None:
    known = completions(0)
    data = learned_multigrams.data(known)
    q, learned = data["multigram_q"][1], data["learned"][1]
    assert np.isnan(q[:, 4]).all()
    assert learned.tolist() == [[2, 0], [0, 0]]
    assert data["multigrams"][1].tolist() == [4, 1]
    effect, documents = known.kept.effect.values.astype(float)[:, :200], known.kept.document.values[:200]
    p = multigrams.learned(effect, known.numbers, documents, 5)[2]
    for row, raw in zip(q, p, strict=True):
        np.testing.assert_allclose(row[:4], stats.false_discovery_control(raw[:4]))
    assert np.isnan(data["rarefied"][1]).all(), "fewer than 200 completions"
    assert data["with_unseen"][1].tolist() == [2.0, 0.0]


def test_a_head_learns_nothing_by_chance() -> None:
    """Effects without a mean: the false-discovery rate holds over many tables."""
    false = 0
    for seed in range(20):
        known = completions(seed)
        known.kept.effect.values[:] = np.random.default_rng(100 + seed).standard_normal((2, 4000))
        false += int((learned_multigrams.data(known)["learned"][1].sum(1) > 0).sum())
    assert false <= 5  # of 40


def test_patterns_are_said_in_the_order_of_the_text(trained: Path, tmp_path: Path, code_file: Path) -> None:
    on = cells_of(trained, tmp_path, code_file).inputs
    a, b, c = (on.run.tokenizer.token_to_id(letter) for letter in "abc")
    offsets = np.array([[1, 0, 0, 0], [1, 2, 0, 0], [1, 5, 0, 0], [3, 0, 0, 0], [2, 4, 0, 0]])
    tokens = np.where(offsets > 0, [a, b, 0, 0], 0)
    said = [text_multigrams.describe(Patterns(offsets, tokens, np.full(5, c)), number, on) for number in range(5)]
    assert said == [
        "'a' -> 'c'",
        "'b' 'a' -> 'c'",
        "'b' (3 more) 'a' -> 'c'",
        "'a' (2 more) -> 'c'",
        "'b' (1 more) 'a' (1 more) -> 'c'",
    ]


def test_the_text_takes_out_what_other_heads_can_serve(trained: Path, tmp_path: Path, code_file: Path) -> None:
    rows = cells_of(trained, tmp_path, code_file).inputs.free_text.part(slice(0, 30))
    text = labelled_tokens.text(rows)
    decoded = [[rows.tokenizer.decode([int(token)], skip_special_tokens=False) for token in row] for row in rows.tokens]
    for row in range(30):
        pairs: list[tuple[int, int]] = []
        for pos in range(1, 64):
            pair = (int(rows.tokens[row, pos - 1]), int(rows.tokens[row, pos]))
            closes = decoded[row][pos].lstrip()[:1] in tuple(")]}\"'")
            bos = rows.tokens[row, pos] == rows.tokens[row, 0]
            assert text.counted[row, pos] == (not (pair in pairs[:-1] or closes or bos))
            pairs.append(pair)
    assert 0.3 < text.counted.mean() < 0.95


def test_kinds_above_100_percent_are_drawn_whole() -> None:
    heads, kinds = ["L0H0", "L1H0"], ["induction", "bracket", "quote", "n-gram", "skip n-gram", "none"]
    plain = ("effect", "effect_se", *(f"{name}{end}" for name in picture.MARKS for end in ("", "_se")))
    data: dict = {name: ("restriction", np.array([0.1, 0.2])) for name in plain}
    data["affected"] = (("restriction", "kind"), np.array([[0.8, 0.5, 0, 0, 0, 0.0], [0, 0, 0, 0, 0, 1.0]]))
    data |= {"usual": ("kind", np.full(6, 1 / 6)), "learned": (("restriction", "sort"), np.zeros((2, 2), int))}
    data |= {"multigrams": ("sort", np.zeros(2, int)), "type": ("restriction", ["mixed", "inactive"])}
    table = xr.Dataset(data, {"restriction": heads, "kind": kinds, "sort": ["n-gram", "skip n-gram"]})
    axes = picture.draw(table, "title").axes
    assert axes[2].get_xlim() == (0, pytest.approx(130))
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["L0H0  mixed", "L1H0  inactive", "all tokens"]
