"""Training and the main job as a user runs them, on a tiny model: results, resume after a kill, bad input."""

import filecmp
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from experiments import runs
from experiments.__main__ import main
from experiments.measurements.rllc import RLLC, sampling_loss
from experiments.results.inputs import Inputs
from experiments.results.keys import key
from experiments.results.plan import default_plan
from experiments.results.reference import reference_run
from experiments.storage import store
from llc.settings import natural_nbeta
from tests.experiments.conftest import ROOT, command, finish
from tests.experiments.pages.page_checks import faults

pytestmark = pytest.mark.both_majors


def kill_until_done(moments: list[float], *arguments: str, cwd: Path) -> int:
    """Runs a command, killing it (and its workers) after each of these seconds, then to the end; returns the kills."""
    kills = 0
    for moment in moments:
        process = command(*arguments, cwd=cwd)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)  # workers must notice by themselves
            kills += 1
        process.communicate()
    finish(command(*arguments, cwd=cwd))
    return kills


def same_files(first: Path, second: Path, pattern: str) -> list[str]:
    """Names of the files of this pattern; asserts that both folders hold the same ones with the same bytes."""
    names = sorted(str(file.relative_to(first)) for file in first.glob(pattern))
    assert names == sorted(str(file.relative_to(second)) for file in second.glob(pattern))
    assert filecmp.cmpfiles(first, second, names, shallow=False)[0] == names
    return names


def test_training_writes_two_runs_that_open(trained: Path) -> None:
    for name, layers in (("tiny-seed0", 2), ("tiny-seed0-1layer", 1)):
        run = runs.open_run(trained / "runs" / name)
        assert run.steps == [0, 10, 30, 60]
        assert run.model(60).cfg.n_layers == layers
        history = json.loads((run.folder / "history.json").read_text())
        assert history[-1]["step"] == 60


@pytest.mark.slow
def test_killed_training_ends_in_the_same_bits(trained: Path, tmp_path: Path, corpus_file: Path) -> None:
    """Kills fall at seeded steps: the process stops itself there, in the middle of an update."""
    script = (
        "import os, sys; from experiments.runs import train, presets; import torch; from dataclasses import replace\n"
        "torch.set_num_threads(int(sys.argv[3])); train.SAVE_EVERY = 7; update = train._update; calls = [0]\n"
        "def dying(*a):\n    calls[0] += 1\n    return os._exit(9) if calls[0] == int(sys.argv[2]) else update(*a)\n"
        "train._update = dying\n"
        "preset = replace(presets.get('tiny'), corpus=sys.argv[4])\n"
        "train.train(preset, 0, 2, __import__('pathlib').Path(sys.argv[1]))\n"
    )
    threads = str(json.loads((trained / "runs/tiny-seed0/config.json").read_text())["threads"])
    folder, generator, codes = tmp_path / "tiny-seed0", random.Random(0), []
    for moment in [generator.randint(1, 20) for _ in range(4)] + [0]:
        arguments = [sys.executable, "-c", script, str(folder), str(moment), threads, f"text:{corpus_file}"]
        codes.append(subprocess.run(arguments, cwd=ROOT, capture_output=True, check=False).returncode)
    assert codes == [9, 9, 9, 9, 0]
    assert len(same_files(trained / "runs/tiny-seed0", folder, "*.safetensors")) == 4
    same_files(trained / "runs/tiny-seed0", folder, "*.json")
    weights = runs.open_run(folder).arrays(60)
    assert any((weights[name] != array).any() for name, array in runs.open_run(folder).arrays(30).items())


def test_the_summary_holds_what_it_promises(reproduced: Path) -> None:
    summary = json.loads((reproduced / "summary.json").read_text())
    assert {"schema", "run", "preset", "data", "settings", "units", "checkpoints"} <= set(summary)
    assert (summary["schema"], summary["run"], summary["preset"]) == (1, "tiny-seed0", "tiny")
    assert {"name", "fingerprint"} == set(summary["data"])
    assert [c["step"] for c in summary["checkpoints"]] == [0, 10, 30, 60]
    for checkpoint in summary["checkpoints"]:
        assert {"step", "tokens", "loss", "icl", "heads", "paths"} <= set(checkpoint)
        assert checkpoint["tokens"] == checkpoint["step"] * 8 * 64
        assert sorted(checkpoint["heads"]) == [f"L{layer}H{head}" for layer in range(2) for head in range(4)]
        for head in checkpoint["heads"].values():
            assert set(head) == {"previous_token", "current_token", "prefix_matching", "rllc"}
            assert 0 <= head["previous_token"] <= 1
            assert {"value", "se", "ess", "rhat", "bad_chains", "kappa", "noise_value"} <= set(head["rllc"])
            assert head["rllc"]["verdict"] in ("trust", "caution", "do not trust")
            assert head["rllc"]["bad_chains"] == 0
            assert head["rllc"]["se"] > 0
        assert len(checkpoint["paths"]) == 4 * 4 * 3
        for path in checkpoint["paths"]:
            assert set(path) == {"source", "target", "via", "effect", "se", "interval"}
            low, high = path["interval"]
            assert low < path["effect"] - 1.95 * path["se"] and path["effect"] + 1.95 * path["se"] < high
    assert summary["checkpoints"][0]["loss"] > summary["checkpoints"][-1]["loss"] + 0.5
    affected = summary["affected"]
    assert affected["hits"] == len(pd.read_csv(reproduced / "tables/affected.csv").groupby("hit"))
    assert len(affected["mean"]) == 4
    assert 0 <= affected["repeated_of_all"] <= 1


def test_the_report_stands_alone(reproduced: Path) -> None:
    page = (reproduced / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 5
    assert faults(page, reproduced) == []
    assert page.index("<details>") > page.index("Can the chains be trusted?</h2>"), "traces are folded away"
    assert page.count("class=target") == 6  # the induction head's most affected tokens
    for name in ("rllcs", "induction", "compositions", "paths", "traces"):
        assert f"devcircuits figure {name} --run tiny-seed0" in page
        assert (reproduced / "figures" / f"{name}.png").stat().st_size > 10_000


def test_killed_main_job_ends_in_the_same_bits(reproduced: Path, trained: Path, tmp_path: Path) -> None:
    arguments = [
        "reproduce",
        "--run",
        str(trained / "runs/tiny-seed0"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    generator = random.Random(1)
    kills = kill_until_done([generator.uniform(7, 14) for _ in range(2)], *arguments, cwd=trained)
    assert kills > 0
    cells = same_files(reproduced, tmp_path / "out", "cells/*.safetensors")
    parts = [name for name in cells if "ablation_pass_" in name]
    assert parts
    # five kinds of every checkpoint; circuit; rLLCs; parts of the pass over text, and the tokens chosen
    assert len(cells) == 5 * 4 + 1 + 4 * 8 + len(parts) + 1
    assert len(same_files(reproduced, tmp_path / "out", "tables/*.csv")) >= 6
    assert same_files(reproduced, tmp_path / "out", "summary.json") == ["summary.json"]


def test_a_second_run_computes_nothing(reproduced: Path, trained: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (reproduced / "cells").iterdir()}
    finish(command("reproduce", "--run", "tiny-seed0", cwd=trained))
    assert {file: file.stat().st_mtime_ns for file in (reproduced / "cells").iterdir()} == before


def test_other_verbs(reproduced: Path, trained: Path) -> None:
    assert "rllcs.svg" in finish(command("figure", "rllcs", "--run", "tiny-seed0", cwd=trained))


@pytest.mark.slow
def test_calibrate(reproduced: Path, trained: Path, corpus_file: Path) -> None:
    arguments = ["L0H1", "1:2", "--lr", "0.001", "--localization", "100", "200", "--nbeta", "10", "natural"]
    samplers = ["sgld", "leimkuhler-matthews-cv"]
    command_line = ("calibrate", *arguments, "--sampler", *samplers, "--run", "tiny-seed0", "--workers", "2")
    lines = finish(command(*command_line, cwd=trained)).splitlines()
    said = [f"{head} at step 60, {sampler}" for head in ("L0H1", "L1H2") for sampler in samplers]
    assert [line.partition(":")[0] for line in lines if " at step 60, " in line] == said
    for suffix in ("png", "svg"):
        assert (reproduced / "figures" / f"calibrate_L1H2_60.{suffix}").stat().st_size > 10_000
    table = pd.read_csv(reproduced / "tables" / "calibrate_L1H2_60.csv")
    rows = len(Inputs(runs.open_run(trained / "runs/tiny-seed0"), default_plan(f"text:{corpus_file}", 64)).sampled)
    expected = [(place, nbeta) for place in (100, 200) for nbeta in (0, 10, natural_nbeta(rows))]
    for _, part in table.groupby("sampler"):
        assert part.groupby(["localization", "nbeta"]).size().index.tolist() == expected
    values = table[table.nbeta > 0].pivot(index=["localization", "nbeta"], columns="sampler", values="value")
    assert values.columns.tolist() == sorted(samplers) and (values.nunique(axis=1) == 2).all()
    assert (table.value[table.nbeta == 0] == 0).all()
    assert (table.control[table.nbeta > 0] > 0).all()
    before = len(list((reproduced / "cells").iterdir()))
    finish(command(*command_line, cwd=trained))  # over the cells that are there
    assert len(list((reproduced / "cells").iterdir())) == before


def test_rllcs_against_the_one_layer_reference(trained: Path, tmp_path: Path) -> None:
    run = runs.open_run(trained / "runs/tiny-seed0")
    names, keys = {}, {}
    for reference in ("", "last", "same"):
        plan = replace(default_plan(run.config["preset"]["corpus"], 64), reference=reference)
        on = Inputs(run, plan)
        names[reference] = [sampling_loss(on, step).name for step in run.steps]
        keys[reference] = [store.fingerprint(**key(on, RLLC, step, {"restriction": "L0H1"})) for step in run.steps]
    assert names[""] == ["next-token"] * 4
    assert names["last"] == ["KL(one layer, step 60 || model)"] * 4
    assert names["same"] == [f"KL(one layer, step {step} || model)" for step in (0, 10, 30, 60)]
    assert keys["last"][:-1] != keys["same"][:-1]
    assert keys["last"][-1] == keys["same"][-1]  # at the last checkpoint they are the same thing
    assert len({*keys[""], *keys["last"], *keys["same"]}) == 4 + 4 + 3
    alone = Inputs(runs.open_run(trained / "runs/tiny-seed0-1layer"), replace(plan, reference="last"))
    with pytest.raises(ValueError, match="has no one-layer reference"):
        sampling_loss(alone, 60)
    shutil.copytree(trained / "runs", tmp_path / "runs")
    seed1 = (tmp_path / "runs/tiny-seed0").rename(tmp_path / "runs/tiny-seed1")
    other = Inputs(runs.open_run(seed1), replace(plan, reference="last"))
    assert reference_run(other.run).name == "tiny-seed0-1layer"  # its own was not trained


def test_ctrl_c_ends_with_130_and_keeps_what_is_there(trained: Path, tmp_path: Path) -> None:
    process = command("reproduce", "--run", "tiny-seed0", "--out", str(tmp_path / "out"), cwd=trained)
    cells = tmp_path / "out" / "cells"
    limit = time.monotonic() + 120
    while not (cells.is_dir() and any(cells.glob("*.safetensors"))):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert any(cells.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--preset", "huge"], "unknown preset 'huge'"),
        (["train", "--preset", "tiny", "--corpus", "nonsense"], "unknown corpus 'nonsense'"),
        (["train", "--preset", "tiny", "--layers", "0"], "at least one layer"),
        (["reproduce", "--run", "nowhere"], "no run 'nowhere'"),
        (["reproduce", "--run", "tiny-seed0", "--corpus", "text:/nowhere"], "no such file"),
        (["reproduce", "--run", "tiny-seed0", "--workers", "0"], "workers=0"),
        (["reproduce", "--run", "tiny-seed0-1layer"], "two or more"),
        (["figure", "nonsense", "--run", "tiny-seed0"], "unknown figure 'nonsense'"),
        (["ablate", "L9H0", "--run", "tiny-seed0"], "no head L9H0"),
        (["ablate", "head", "--run", "tiny-seed0"], "'head' is not a head"),
        (["ablate", "L0H0", "--run", "tiny-seed0", "--step", "11"], "no checkpoint at step 11"),
        (["ablate", "L0H0", "--run", "tiny-seed0", "--tokens", "999999999"], "999999999 tokens: there are 1 to"),
        (["paths", "--run", "tiny-seed0", "--tokens", "0"], "tokens=0: at least one"),
        (["affected", "L1H0->L0H0.k", "--run", "tiny-seed0"], "the source must be in an earlier layer"),
        (["affected", "L0H0->L1H0", "--run", "tiny-seed0"], "is not a path"),
        (["affected", "embed->output", "--run", "tiny-seed0"], "no attention belongs to it"),
        (["affected", "L0H0", "--run", "tiny-seed0", "--top", "0"], "--top 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, trained, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(trained)
    out = [] if arguments[0] == "train" else ["--out", str(tmp_path / "results")]
    if arguments[0] == "train":
        out = ["--out", str(tmp_path / "runs")]
    assert main([*arguments, *out]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1]
    assert error[-1].startswith("error: ")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["ablate L0H1", "affected L0H1 --top 1", "types"])
def test_what_needs_no_second_layer_is_measured_in_one(verb: str, trained: Path, tmp_path: Path) -> None:
    arguments = [*verb.split(), "--run", "tiny-seed0-1layer", "--tokens", "5000", "--workers", "1"]
    said = finish(command(*arguments, "--out", str(tmp_path / "out"), cwd=trained))
    assert "L0H1" in said and any((tmp_path / "out").rglob("*.csv"))
