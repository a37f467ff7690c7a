"""A task of one's own on a run: from a file with its traps, known by content, shown as built-in tasks are."""

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ablations import forward
from ablations.not_measurable import NotMeasurable
from circuits import discover
from circuits.tasks import Task
from experiments import runs
from experiments.__main__ import main
from experiments.investigate.investigation import Investigation
from experiments.results.cells import Cells
from experiments.runs.run import Run
from experiments.tasks import own_prompts, own_task, path_effects, task_prompts
from experiments.tasks.path_effects import PATH_EFFECTS

pytestmark = pytest.mark.usefixtures("small")

NAMES = ("left", "right_side", "value", "other")
LINES = [
    {"clean": f"    {name} = x[0]\n    return {name}[", "corrupted": f"    {name} = x(0)\n    return {name}(",
     "right": "0", "wrong": "1"} for name in NAMES
]  # fmt: skip


@pytest.fixture(scope="module")
def run(trained: Path) -> Run:
    return runs.open_run(trained / "runs/tiny-seed0")


@pytest.fixture(scope="module")
def inv(small: None, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Investigation:
    return Investigation(run, out=tmp_path_factory.mktemp("own") / "out", tokens=1500)


def write(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def of_lines(run: Run, lines: Sequence[dict] = LINES) -> Task:
    fields = ([line[name] for line in lines] for name in own_task.FIELDS)
    return Task.from_strings(*fields, run.tokenizer, name="mine")


def same(one: Task, other: Task) -> bool:
    return own_prompts.fingerprint(one) == own_prompts.fingerprint(other)


def test_a_file_is_the_task_of_its_lines(run: Run, tmp_path: Path) -> None:
    task, file = of_lines(run), write(tmp_path / "mine.jsonl", [line | {"note": 3} for line in LINES])
    assert task.lengths is not None and task.clean[:, 0].unique().tolist() == [
        run.tokenizer.token_to_id("<|endoftext|>")
    ]
    for asked in (f"file:{file}", str(file), file):
        opened = own_task.opened(asked, run)
        assert isinstance(opened, Task) and opened.name == "mine" and same(opened, task)
    assert own_task.opened("quotes", run) == "quotes" and own_task.opened(task, run) is task
    assert not same(own_task.read(write(tmp_path / "less.jsonl", LINES[:3]), run), task)


def test_lines_end_where_json_ends_them(run: Run, tmp_path: Path) -> None:
    odd = [line | {"clean": line["clean"] + "\u2028", "corrupted": line["corrupted"] + "\u2028"} for line in LINES]
    plain = "\n".join(json.dumps(line, ensure_ascii=False) for line in odd)
    expected = of_lines(run, odd)
    written = {
        "separator.jsonl": plain.encode(),
        "windows.jsonl": b"\xef\xbb\xbf" + plain.replace("\n", "\r\n\r\n").encode(),
        "utf16.jsonl": plain.encode("utf-16"),
        "packed.jsonl.gz": gzip.compress(plain.encode()),
    }
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
        read = own_task.read(tmp_path / name, run)
        assert same(read, expected) and read.name == name.partition(".")[0]
    assert not same(of_lines(run), expected)  # the control


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"clean": "a"', "line 2: no JSON .*: give an object with clean, corrupted, right, wrong"),
        ("[1, 2]", r"line 2: \[1, 2\] is no JSON object: give one with clean"),
        ('{"clean": "a", "right": "b"}', r"line 2: no corrupted, wrong \(it has clean, right\): give clean, corrupted"),
        (json.dumps(LINES[1] | {"right": 7}), "line 2: right=7: give text"),
        (json.dumps(LINES[1] | {"right": None}), "line 2: right='': give text that is not empty"),
        (json.dumps(LINES[1] | {"right": "\ud800"}), "line 2: right=.* holds what is no UTF-8"),
        (json.dumps(LINES[1] | {"corrupted": "x"}), "line 2: clean .* is .* tokens .*, corrupted 'x' 2 .*make both as"),
        (json.dumps(LINES[1] | {"wrong": "0"}), "line 2: right '0' is .* or both are the same"),
        (json.dumps(LINES[0]), "line 2: line 1 once more: leave one of them out"),
        (json.dumps({"clean": "[" * 500, "corrupted": "(" * 500, "right": "0", "wrong": "1"}),
         "line 2: 501 tokens, and the model's context is .*: shorten the prompts"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_is_said_with_its_number(
    line: str, message: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = write(tmp_path / "mine.jsonl", LINES[:1])
    file.write_text(file.read_text() + line + "\n" + json.dumps(LINES[2]))
    asked = ["circuit", "--task", f"file:{file}", "--run", str(run.folder), "--out", str(tmp_path / "out")]
    assert main(asked) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"error: {file}, ") and "\n" not in said
    with pytest.raises(ValueError, match=message):
        own_task.read(file, run)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "no such file; give one with a JSON object a line"),
        ("induction.jsonl", "x", "induction is a task already, whose results it would replace; rename the file"),
        ("empty.jsonl", "\n \n", 'holds no prompt: give lines such as {"clean": "...", '),
        ("one.jsonl", json.dumps(LINES[0]), "1 prompt: intervals and tests are over prompts, give two or more"),
        ("broken.jsonl.gz", "x", "cannot be read"),
    ],
)
def test_files_that_are_no_task(name: str, content: str | None, message: str, run: Run, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError) as caught:
        own_task.opened(f"file:{tmp_path / name}", run)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_that_the_run_cannot_read(inv: Investigation) -> None:
    wide = torch.full((2, 3), 10**6)
    task = Task("wide", wide, wide + 1, torch.tensor([1, 2]), torch.tensor([2, 1]))
    with pytest.raises(ValueError, match="outside the vocabulary"):
        inv.circuit(task)


def test_cells_are_known_by_content(inv: Investigation, run: Run, tmp_path: Path) -> None:
    kept, task = inv.snapshot.cells, of_lines(run)
    first = path_effects.table(kept, task, [60])
    renamed = own_task.read(write(tmp_path / "other_name.jsonl", LINES), run)
    assert path_effects.parameters(kept, renamed) == path_effects.parameters(kept, task)
    assert path_effects.missing(kept, renamed, [60]) == []
    changed = own_task.read(write(tmp_path / "other_name.jsonl", LINES[1:]), run)
    (job,) = path_effects.missing(kept, changed, [60])
    job.function(*job.arguments)  # as in a worker, which has the folder and the job alone
    assert path_effects.missing(kept, changed, [60]) == []

    model = kept.inputs.model(60)
    exact = discover.path_effects(model, task)
    assert np.allclose(first.effect.values[0], exact.effect.mean(1), atol=1e-5)
    last = model(task.clean)[torch.arange(len(task.clean)), task.lengths - 1].argmax(-1)
    assert float(first.accuracy[0]) == float((last == task.right).float().mean())
    weights = forward.weights_of(model)
    assert discover.evaluate(weights, model.cfg, task, list(exact.paths)).faithfulness == pytest.approx(1)


def test_prompts_that_nobody_kept(inv: Investigation, run: Run, tmp_path: Path) -> None:
    asked = path_effects.parameters(inv.snapshot.cells, of_lines(run))
    elsewhere = Cells(tmp_path, run, inv.snapshot.cells.plan)
    with pytest.raises(NotMeasurable, match=r"the prompts .* are not in .*: ask for the task again"):
        elsewhere.get(PATH_EFFECTS, 60, **asked)


def test_prompts_are_known_by_the_digits_that_stored_cells_have() -> None:
    """Another fingerprint of the same prompts would throw away all that was measured of built-in tasks."""
    task = Task("t", *(torch.arange(6).reshape(2, 3) + at for at in (0, 1)), torch.tensor([1, 2]), torch.tensor([3, 4]))
    assert own_prompts.fingerprint(task).startswith("43c6b8c5225e7586")
    assert not own_prompts.fingerprint(task._replace(lengths=torch.tensor([2, 3]))).startswith("43c6b8c5225e7586")


def test_a_task_of_text_shows_itself(inv: Investigation, run: Run) -> None:
    fields = {name: [line[name] for line in LINES] for name in own_task.FIELDS}
    task = inv.task(**fields, name="subscripts")
    assert same(task, of_lines(run)) and task.name == "subscripts"
    circuit = inv.circuit(task)
    page = circuit._repr_html_()
    assert "paths that carry subscripts" in page and "Warning: 4 prompts are few" in page
    assert f"FoundCircuit(subscripts, {inv.snapshot.title}" in repr(circuit)
    assert len(circuit.table) == len(discover.candidates(run.model_config()))
    built_in = task_prompts.task("induction", inv.snapshot.cells)
    induction = inv.circuit(built_in)  # the tensors of a built-in task, as one's own
    assert np.array_equal(induction.table.effect, inv.circuit("induction").table.effect)
    assert "prompts are few" not in induction._repr_html_()


def test_the_verb_writes_what_it_writes_for_other_tasks(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "runs", tmp_path / "runs")
    write(tmp_path / "my $task.jsonl", LINES)
    asked = ["circuit", "--run", "tiny-seed0", "--task", "file:my $task.jsonl", "--top", "3", "--out", "out"]
    assert main([*asked, "--thorough", "--formation", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "nan (sd nan)" not in said
    assert "task my $task, step 60" in said and "\nWarning: 4 prompts are few: an effect passes" in said
    for name in ("circuit_my $task_60.html", "circuit_my $task_60_mib.json", "circuit_my $task_formation.json"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    page = (tmp_path / "out/circuit_my $task_60.html").read_text()
    assert "--task &#39;file:my $task.jsonl&#39;" in page and "4 prompts are few" in page
    table = pd.read_csv(tmp_path / "out/tables/circuit_my $task_60.csv")
    assert (tmp_path / "out/figures/circuit_my $task_60.png").stat().st_size > 10_000

    assert main([*asked, "--heads", "L1H2", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "Warning: 4 prompts are few: an effect passes a false-discovery rate of 5% over 16 paths" in said
    part = pd.read_csv(tmp_path / "out/tables/circuit_my $task_60_L1H2.csv").set_index("path")
    assert np.allclose(part.effect, table.set_index("path").effect[part.index], atol=1e-5)
