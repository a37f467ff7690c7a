"""The claims and the paper's figures as a user makes them, on a tiny model: everything is there, and again the same."""

import json
import re
import shutil
from pathlib import Path

import pytest

from experiments import figures
from experiments.claims.table import FINDERS
from tests.experiments.conftest import command, finish
from tests.experiments.pages.page_checks import faults

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
LIMIT = 1100  # seconds of a command that measures all that the claims need, while other tests share the cores


@pytest.fixture(scope="module")
def trained(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained runs with one checkpoint less: each is measured in many ways."""
    folder = tmp_path_factory.mktemp("thinned")
    shutil.copytree(trained / "runs", folder / "runs")
    for file in folder.glob("runs/*/step_0000010.safetensors"):
        file.unlink()
    return folder


@pytest.fixture(scope="module")
def claimed(trained: Path) -> Path:
    finish(command("claims", "--run", "tiny-seed0", "--workers", "2", cwd=trained), LIMIT)
    return trained / "results"


def test_the_table_has_all_claims_with_all_that_they_promise(claimed: Path) -> None:
    table = json.loads((claimed / "claims" / "claims.json").read_text())
    assert table["runs"] == table["verdicts from"] == ["tiny-seed0"]
    labels = [f"{claim['number']}{claim['part']}" for claim in table["claims"]]
    assert labels == [claim.label for claim in FINDERS]
    numbers = {int(label.rstrip("abcde")) for label in labels}
    assert numbers == set(range(1, 16)) and len(set(labels)) == len(labels) == 26
    for claim in table["claims"]:
        assert claim["verdict"] in ("replicated", "contradicted", "absent", "inconclusive", "not testable")
        assert claim["criterion"] and claim["units"] and claim["diagnosis"], claim["name"]
        fired = [control for control in claim["controls"] if control["fired"]]
        assert not (fired and claim["verdict"] in ("replicated", "contradicted", "absent")), claim["name"]
    # 60 updates of a model of 32 dimensions do not make the paper's circuits
    assert sum(claim["verdict"] == "replicated" for claim in table["claims"]) <= 2


def test_the_page_stands_alone_and_shows_every_figure(claimed: Path) -> None:
    page = (claimed / "claims" / "report.html").read_text()
    for claim in FINDERS:
        assert f'id="claim{claim.label}"' in page
    for name in figures.MORE:
        assert figures.get(name).TITLE in page or f"figure {name} --run tiny-seed0" in page, name
    for name in ("regime", "embryo"):  # what takes long waits until it is asked for
        assert re.search(f"not sampled yet.*figure {name} --run tiny-seed0</code>", page), name
    assert faults(page, claimed / "claims") == [] and len(page.encode()) < 2_000_000
    shown = {claim.figure for claim in FINDERS}
    assert page.count("The figure stands at") == len(FINDERS) - len(shown) > 0, "no figure stands twice"
    assert 'src="data:image/webp;base64,' in page


# the figure of maps over training has a test of its own, on fewer tokens
@pytest.mark.parametrize("name", [name for name in figures.MORE if name != "embryo"])
def test_every_figure_has_its_command(claimed: Path, trained: Path, name: str) -> None:
    said = finish(command("figure", name, "--run", "tiny-seed0", "--workers", "2", cwd=trained))
    for suffix in ("svg", "png"):
        assert f"{name}.{suffix}" in said
        assert (claimed / "tiny-seed0" / "figures" / f"{name}.{suffix}").stat().st_size > 5_000


def test_again_is_the_same_and_computes_nothing(claimed: Path, trained: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in (claimed / "tiny-seed0" / "cells").iterdir()}
    text = (claimed / "claims" / "claims.json").read_bytes()
    finish(command("claims", "--run", "tiny-seed0", cwd=trained))
    assert (claimed / "claims" / "claims.json").read_bytes() == text
    assert {file.name: file.stat().st_mtime_ns for file in (claimed / "tiny-seed0" / "cells").iterdir()} == before


def test_the_main_job_makes_them_too_and_measures_each_run_once(trained: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    finish(command("reproduce", "--all", "--run", "tiny-seed0", "--out", out, "--workers", "2", cwd=trained), LIMIT)
    assert (tmp_path / "out/claims/claims.json").exists() and (tmp_path / "out/summary.json").exists()
    assert len(list((tmp_path / "out").rglob("cells"))) == 1
