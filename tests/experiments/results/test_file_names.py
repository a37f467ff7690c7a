"""Names of written files: no two corpora, seeds, settings or texts share one, and defaults have the plain one."""

import argparse
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from experiments import runs
from experiments.cli import opening
from experiments.figures import files
from experiments.investigate.investigation import Investigation
from experiments.results.cells import Cells
from experiments.results.file_names import flags, of_text, variant
from experiments.results.plan import default_plan, sampler_of
from experiments.runs.run import Run
from llc.settings import MINI, PAPER, QUICK

OTHERS = [
    {"corpus": "cpp"},
    {"corpus": "python:code"},
    {"corpus": "python:prose"},
    {"corpus": "text:/a/b/book.txt"},
    {"corpus": "text:/a/c/book.txt"},
    {"corpus": "text:\u672c.txt"},
    {"corpus": "text:/a/b/book.txt,separator=<|endoftext|>"},
    {"corpus": "synthetic:trigrams=16,seed=1"},
    {"corpus": "synthetic:trigrams=16,seed=2"},
    {"corpus": "cpp", "seed": 1},
    {"seed": 1},
    {"seed": 2},
    {"llc": PAPER},
    {"llc": MINI},
    {"reference": "last"},
    {"reference": "same"},
    {"gauge": "random 1"},
    {"sampler": "sgld-cv"},
    {"sampler": "leimkuhler-matthews"},
]


@pytest.fixture(scope="module")
def run() -> Run:
    return runs.open_run("mini-seed0")


def test_no_two_plans_share_a_name(run: Run) -> None:
    plan = default_plan("python", 256)
    assert variant(run, plan) == ""
    names = [variant(run, replace(plan, **other)) for other in OTHERS]
    assert names[0] == "_cpp" and names[9] == "_cpp_seed1" and names[1] == "_python-code"
    assert all(one != other for one, other in combinations(["", *names], 2))
    for name in names:
        assert name == Path(name).name and name.isascii() and not set(name) & set(" :<>|'\"/\\") and len(name) < 80


def test_what_is_no_default_of_another_run(run: Run) -> None:
    own = replace(run, config=run.config | {"preset": run.config["preset"] | {"corpus": "cpp"}})
    plan = default_plan("cpp", 256)
    assert variant(own, plan) == "" and variant(own, replace(plan, corpus="python")) == "_python"
    assert variant(run, plan) == "_cpp"  # negative control


def test_commands_on_pages_name_corpus_and_seed(run: Run, tmp_path: Path) -> None:
    plan = default_plan("python", 256)
    assert flags(run, plan) == "--run mini-seed0"
    other = replace(plan, corpus="text:my book.txt", seed=3)
    assert flags(run, other) == "--run mini-seed0 --corpus 'text:my book.txt' --seed 3"
    command = files.figure_command(Cells(tmp_path, run, other), "rllcs")
    assert command == f"devcircuits figure rllcs {flags(run, other)}"


def test_cards_of_heads(trained: Path, corpus_file: Path, tmp_path: Path) -> None:
    folder = trained / "runs" / "tiny-seed0"
    text = corpus_file.read_text().splitlines()
    (tmp_path / "other.jsonl").write_text("\n".join(text[::-1]))
    default = Investigation(folder, out=tmp_path)
    assert default["L0H1"].file_name == "L0H1"
    assert default.at(30)["L0H1"].file_name == "L0H1_30"
    seeded = Investigation(folder, out=tmp_path, seed=1)["L0H1"]
    foreign = Investigation(folder, out=tmp_path, corpus=f"text:{tmp_path / 'other.jsonl'}")["L0H1"]
    shown = [default["L0H1"].on("some text"), default["L0H1"].on("other text")]
    some = [Investigation(folder, out=tmp_path, heads=heads)["L0H1"] for heads in (["L0H1"], ["L0H1", "L1H2"])]
    assert [card.file_name for card in some] == ["L0H1_alone", "L0H1_L0H1+L1H2"]
    names = [card.file_name for card in (default["L0H1"], default["L0H2"], seeded, foreign, *shown, *some)]
    assert seeded.file_name == "L0H1_seed1" and foreign.file_name.startswith("L0H1_text-other-")
    assert shown[0].file_name == f"L0H1{of_text('some text')}" and of_text("") == ""
    assert len(set(names)) == len(names)


def test_named_settings_have_the_sampler_that_they_were_chosen_for(run: Run) -> None:
    plan = default_plan("python", 256)
    assert [sampler_of(one) for one in (QUICK, PAPER, MINI)] == ["sgld", "sgld", "leimkuhler-matthews"]
    assert variant(run, replace(plan, llc=MINI, sampler=sampler_of(MINI))) == "_MINI"
    assert variant(run, replace(plan, llc=MINI)) == "_MINI_sgld"
    arguments = argparse.Namespace(run="mini-seed0", out=None, corpus=None, seed=0, settings="MINI")
    opened = opening.open_cells(arguments)
    assert (opened.plan.llc, opened.plan.sampler) == (MINI, "leimkuhler-matthews")
