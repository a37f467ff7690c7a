"""`dc.across` and `circuit --across`: a run, and runs with the same heads in other places, have one circuit."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import devcircuits as dc
from ablations.not_measurable import NotMeasurable
from experiments.__main__ import main
from experiments.investigate.circuits_across import CircuitsAcross
from experiments.runs.run import Run
from tests.planted import with_permuted_heads

pytestmark = pytest.mark.usefixtures("small")
ORDERS = {"second": [[2, 0, 3, 1], [1, 3, 0, 2]], "third": [[3, 1, 2, 0], [0, 3, 2, 1]]}


@pytest.fixture(scope="module")
def task(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts of two words; of the answers, which differ from prompt to prompt, the model prefers the right one to the
    wrong one more than after the corrupted word, so that something carries it.
    """
    run = dc.open_run(trained / "runs/tiny-seed0")
    named = {token: run.tokenizer.decode([token]) for token in range(1, run.tokenizer.get_vocab_size())}
    words = [token for token, text in named.items() if run.tokenizer.encode(text).ids == [token] and text.isprintable()]
    start = run.tokenizer.token_to_id("<|endoftext|>")
    with torch.no_grad():
        after = run.model(60)(torch.tensor([[start, word] for word in words]))[:, -1, words]
    apart = after - after.roll(1, 0)
    prompts = [
        {"clean": named[word], "corrupted": named[words[number - 1]]}
        | {"right": named[words[apart[number].argmax()]], "wrong": named[words[apart[number].argmin()]]}
        for number, word in enumerate(words[:64])
    ]
    file = tmp_path_factory.mktemp("task") / "mine.jsonl"
    file.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return file


@pytest.fixture(scope="module")
def runs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A trained run, and two that have its heads in other places."""
    first, folder = dc.open_run(trained / "runs/tiny-seed0"), tmp_path_factory.mktemp("permuted")
    corpus = first.config["preset"]["corpus"]
    others = [
        dc.adopt(
            folder / name,
            {60: with_permuted_heads(first.model(60), orders)},
            first.tokenizer,
            corpus=corpus,
            tokens_per_step=1,
        )
        for name, orders in ORDERS.items()
    ]
    return [first, *others]


@pytest.fixture(scope="module")
def found(small: None, task: Path, runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> CircuitsAcross:
    return dc.across(task, runs, out=tmp_path_factory.mktemp("across") / "out")


def test_the_same_heads_in_other_places_are_one_circuit(found: CircuitsAcross) -> None:
    table = found.table
    assert len(table) > 0 and (table.models == 3).all() and found.core == table.path.tolist()
    assert np.allclose(table["tiny-seed0"], table.second, atol=1e-4)
    for head, second, third in found.heads[["head", "second", "third"]].itertuples(index=False):
        layer, number = int(head[1]), int(head[3])
        assert [second, third] == [f"L{layer}H{orders[layer].index(number)}" for orders in ORDERS.values()]
    assert found.heads["head"].tolist() != found.heads.second.tolist()  # the control: names alone differ
    assert f"{len(table)} path" in repr(found) and "found in all 3: 100% of the mean circuit" in repr(found)
    assert "other runs agree" in found._repr_html_() and "<html" not in found._repr_html_()


def test_it_is_saved_by_suffix(found: CircuitsAcross, tmp_path: Path) -> None:
    page = found.save(tmp_path / "all.html").read_text()
    assert "tiny-seed0, second and third" in page and "http" not in page
    assert pd.read_csv(found.save(tmp_path / "all.csv")).path.tolist() == found.core
    with pytest.raises(ValueError, match=re.escape("it is written as .html or .csv")):
        found.save(tmp_path / "all.png")


def test_the_circuit_verb_follows_it_across_runs(
    found: CircuitsAcross, task: Path, runs: list[Run], trained: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(trained)
    others = [flag for run in runs[1:] for flag in ("--across", str(run.folder))]
    asked = ["circuit", "--run", "tiny-seed0", "--top", "2", *others, "--out", str(tmp_path)]
    assert main([*asked, "--task", f"file:{task}"]) == 0
    said = capsys.readouterr().out
    assert "found in all 3: 100% of the mean circuit" in said
    table = pd.read_csv(tmp_path / "tables/circuit_mine_60_across.csv")
    assert (
        table.path.tolist() == found.core
        and len(pd.read_csv(tmp_path / "tables/circuit_mine_60_across_heads.csv")) == 8
    )
    page = (tmp_path / "circuit_mine_60_across.html").read_text()
    assert "--step 60 --across second --across third</code>" in page
    assert "circuit_mine_60_across" in (tmp_path / "index.html").read_text()
    assert main([*asked, "--task", "induction"]) == 0  # which so small a model has not learned
    assert "What is the same in every run cannot be told: no circuit has a path" in capsys.readouterr().out


def test_what_cannot_be_compared_is_said_in_one_line(runs: list[Run], trained: Path, tmp_path: Path) -> None:
    first, second, _ = runs
    for wrong, message in (
        ([first, second, first], "tiny-seed0 twice: a run counts once"),
        ([first], "1 run: a circuit is followed across two or more"),
        ("tiny-seed0", "give a list of two or more"),
    ):
        with pytest.raises(ValueError, match=message):
            dc.across("induction", wrong, out=tmp_path)
    with pytest.raises(ValueError, match="unknown task 'chess'"):
        dc.across("chess", [first, second], out=tmp_path)
    shallow = trained / "runs/tiny-seed0-1layer"
    with pytest.raises(NotMeasurable, match="2 layers of 4 heads, tiny-seed0-1layer 1 of 4"):
        dc.across("induction", [first, shallow], out=tmp_path)


def test_a_run_of_another_text_is_refused(runs: list[Run], corpus_file: Path, tmp_path: Path) -> None:
    first, text = runs[0], tmp_path / "other.jsonl"
    documents = corpus_file.read_text().splitlines(keepends=True)
    text.write_text("".join(documents[: len(documents) // 2]))
    other = dc.adopt(
        tmp_path / "other", {60: first.model(60)}, first.tokenizer, corpus=f"text:{text}", tokens_per_step=1
    )
    refused = dc.across("induction", [first, other], out=tmp_path / "out")
    with pytest.raises(NotMeasurable, match="other has other prompts of induction than tiny-seed0: "):
        _ = refused.table
    assert "Not measured: other has other prompts" in repr(refused)
    assert "Not measured: other has other prompts" in refused._repr_html_()


def test_a_run_of_another_tokenizer_is_refused(runs: list[Run], task: Path, tmp_path: Path) -> None:
    """The same tokens of a prompt would be other text."""
    copy = shutil.copytree(runs[0].folder, tmp_path / "swapped")
    content = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    one, other = [*vocabulary][-2:]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (copy / "tokenizer.json").write_text(json.dumps(content))
    refused = dc.across(task, [runs[0], copy], out=tmp_path / "out")
    with pytest.raises(NotMeasurable, match="swapped has another tokenizer than tiny-seed0: "):
        _ = refused.table
