"""A wrong name is refused before PyTorch and TransformerLens are loaded, and in the words that are used later."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import figures, runs, tasks
from experiments.cli.flags import refusals
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import places
from experiments.tasks import task_prompts
from tests.experiments.conftest import ROOT

CELLS = Cells(Path("nowhere"), runs.open_run("mini-seed0"), default_plan("python", 256))
ADOPT = ["adopt", "--out", "new", "--corpus", "python"]
HEAVY = ("torch", "transformer_lens", "matplotlib", "xarray")
SCRIPT = f"""
import sys, time
begin = time.perf_counter()
from experiments.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
loaded = [name for name in {HEAVY} if name in sys.modules]
print(code, f"{{time.perf_counter() - begin:.2f}}", *loaded, file=sys.stderr)
"""


def told(*arguments: str, cwd: Path) -> tuple[str, str, float, list[str]]:
    """What a new process answers: its last line but one, the exit code, its seconds, and what heavy it has loaded."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    *said, last = process.stderr.strip().splitlines()
    code, seconds, *loaded = last.split()
    return said[-1] if said else process.stdout, code, float(seconds), loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figure", "nonsense"], "unknown figure 'nonsense'"),
        (["circuit", "--task", "nonsense"], "unknown task 'nonsense'"),
        (["circuit", "--across", "nowhere"], "no run 'nowhere'"),
        (["circuit", "--across", "mini-seed0"], "--across mini-seed0: it is there already; a run counts once"),
        (["circuit", *2 * ["--across", "mini-seed1"]], "--across mini-seed1: it is there already"),
        (["circuit", "--across", "mini-seed0-1layer"], "mini-seed0 has 2 layers of 8 heads, mini-seed0-1layer 1 of 8"),
        (["circuit", "--across", "mini-seed1", "--against", "mini-seed2"], "--across with --against"),
        (["circuit", "--across", "mini-seed1", "--heads", "L0H0"], "--across with --heads"),
        (["train", "--preset", "nonsense"], "unknown preset 'nonsense'"),
        (["investigate", "L9H9"], "no head L9H9: the model has layers 0 to 1 and heads 0 to 7"),
        (["calibrate", "L0H0", "L0H8"], "no head L0H8"),
        (["ablate", "L0H0+L2H0"], "no head L2H0"),
        (["affected", "L0H5->L1H9.k"], "no head L1H9"),
        (["reproduce", "--run", "nowhere"], "no run 'nowhere'"),
        (["types", "--step", "11"], "no checkpoint at step 11"),
        (["claims", "--run", "mini-seed0", "--run", "mini-seed0"], "mini-seed0 twice"),
        (["sweep", "--workers", "0"], "workers=0"),
        (["investigate", "L1H4", "--corpus", "nonsense"], "unknown corpus 'nonsense': use python, "),
        (["types", "--corpus", "here"], "unknown corpus 'here': did you mean text:here?"),
        (["train", "--preset", "tiny", "--corpus", "text:nowhere"], "corpus text:nowhere: no such file or folder"),
        ([*ADOPT, "nowhere"], "no such folder, and no model 'nowhere': give a folder of checkpoints"),
        ([*ADOPT, "/nowhere/checkpoints"], "no such folder, and no model '/nowhere/checkpoints'"),
        ([*ADOPT, "here/nowhere"], "no such folder, and no model 'here/nowhere'"),
        ([*ADOPT, "here"], "here has no checkpoints (.pth, .pt or .safetensors)"),
        ([*ADOPT, "nowhere-1", "--tokens-per-step", "0"], "tokens_per_step=0"),
        (["convert", "nowhere"], "it holds no cells"),
        (["status"], "no sweep has written"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)  # fmt: skip
def test_refused_before_anything_heavy_is_loaded(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    said, code, seconds, loaded = told(*arguments, cwd=tmp_path)
    assert said.startswith("error: ") and message in said
    assert (code, loaded) == ("2", [])
    assert seconds < 3  # under a second on a machine that has nothing else to do


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    _, code, _, loaded = told("figure", "--help", cwd=tmp_path)
    assert (code, loaded) == ("0", [])


def test_negative_control_what_is_heavy_is_seen(tmp_path: Path) -> None:
    said, code, _, loaded = told("affected", "L1H4", "--corpus", "synthetic:nowhere=1", cwd=tmp_path)
    assert code == "2" and "nowhere" in said and "torch" in loaded


def test_sources_that_there_may_be_are_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "step-5.pt").touch()
    for source in ("given", "gpt2-small", "attn-only-2l", "santacoder", "bert-base-cased", "someone/something"):
        places.check_source(source)


def test_names_are_those_of_what_they_name() -> None:
    assert set(tasks.TASKS) == set(task_prompts.BUILDERS)
    for name in (*figures.FIGURES, *figures.MORE):
        assert figures.get(name).TITLE


@pytest.mark.parametrize(("early", "late"), [(lambda: tasks.check("no"), lambda: task_prompts.task("no", CELLS))])
def test_refusals_say_what_is_said_later(early, late) -> None:
    said = []
    for call in (early, late):
        with pytest.raises(ValueError) as caught:
            call()
        said.append(str(caught.value))
    first, *rest = (set(text.replace(",", "").split()) for text in said)
    assert all(first == other for other in rest)


def test_what_is_right_is_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals.check_changes("mini-seed0", ["L1H4", "0:5+1:4", "L0H5->L1H4.k", "embed->L1H4.q", "L0H5->output"])
    refusals.check_flags(argparse.Namespace(run="mini-seed0", step=28_000, seed=0, workers=1, out=tmp_path))
    run = runs.open_run("mini-seed0")
    shape, cfg = places.shape_of(run.folder), run.model_config()
    assert shape is not None and all(getattr(cfg, name) == value for name, value in shape._asdict().items())
    (tmp_path / "config.json").write_text(json.dumps({"model": {"n_layers": "2", "n_heads": 8}}))
    assert places.shape_of(tmp_path) is None
    refusals.check_heads(str(tmp_path), ["L9H9"])  # what is wrong with this run is told when it is opened
