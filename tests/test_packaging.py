"""Wheel and sdist hold what they should, and work where there is no checkout. Built without the network."""

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("ablations", "llc", "circuits", "experiments")
FACE = "devcircuits.py"  # the one import
RUNS = ("mini-seed0", "mini-seed0-1layer", "mini-seed1", "mini-seed2", "small-seed0")
# what lies about in a checkout, by folder or by ending
FOREIGN = ("__pycache__", ".venv", ".git", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", "site")
FOREIGN_SUFFIXES = (".pyc", ".pt", ".lock", ".damaged", ".zarr")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    called(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own; what it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    called(*pip, "--target", str(folder), str(wheel), cwd=folder)
    return folder


def called(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """What a program prints, run far from the checkout, with our packages from `path`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sources(package: str) -> set[str]:
    """Our own files that are in the repository or on the way into it."""
    listed = ("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", package)
    files = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    return {file for file in files if (ROOT / file).is_file()}


def wrong(names: set[str]) -> list[str]:
    """Names of files that belong into no distribution."""
    parts = {name: name.split("/") for name in names}
    return sorted(
        name
        for name in names
        if set(parts[name]) & set(FOREIGN)
        or name.endswith(FOREIGN_SUFFIXES)
        or parts[name][0] in ("results", "runs")
        or ("runs" in parts[name] and not name.endswith(".py"))  # the folder of code by that name holds code alone
        or "train_state" in parts[name]
    )


def in_wheel(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def in_sdist(built: Path) -> set[str]:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    names = in_wheel(built)
    expected = {file for package in (*PACKAGES, FACE) for file in sources(package)}
    assert FACE in expected
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {f"experiments/zoo/{run}/config.json" for run in RUNS} <= names
    assert any(name.startswith("experiments/results/committed_sweep/cells/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wrong(names) == []


@pytest.mark.slow
def test_the_sdist_holds_what_is_needed_to_build_and_to_test(built: Path) -> None:
    names = in_sdist(built)
    tops = {name.split("/")[0] for name in names}
    files = {FACE, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"}
    files |= {"constraints.txt", "mkdocs.yml", "PKG-INFO"}
    assert {*PACKAGES, "tests", "benchmarks", "docs", *files} <= tops
    assert tops <= {*PACKAGES, "tests", "benchmarks", "docs", "notebooks", ".gitignore", *files}
    assert wrong(names) == []


def test_files_that_do_not_belong_are_seen() -> None:
    """The negative control."""
    for name in (
        "runs/a/config.json",
        "experiments/runs/a/config.json",
        "results/a/log.jsonl",
        "llc/__pycache__/a.pyc",
        "runs/a/train_state/state.pt",
    ):
        assert wrong({name, "llc/sgld.py", "benchmarks/results/speed.json"}) == [name]


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "import ablations, circuits, devcircuits, experiments, llc\n"
        "from experiments import runs\n"
        "from experiments.results import committed\n"
        "for package in (ablations, circuits, devcircuits, experiments, llc): print(package.__file__)\n"
        "assert devcircuits.open_run is runs.open_run\n"
        f"for name in {RUNS}:\n"
        "    run = runs.open_run(name); run.tokenizer; run.model(run.steps[-1]); print(run.folder)\n"
        "assert any((committed.FOLDER / 'cells').iterdir())\n"
    )
    places = called(sys.executable, "-c", code, cwd=tmp_path, path=installed).split()
    assert len(places) == len(PACKAGES) + 1 + len(RUNS)
    assert [place for place in places if not Path(place).is_relative_to(installed)] == []


@pytest.mark.slow
def test_the_commands_of_the_wheel_work(installed: Path, tmp_path: Path) -> None:
    script = str(installed / "bin/devcircuits")
    for start in ([sys.executable, "-m", "experiments"], [sys.executable, script]):
        assert "reproduce" in called(*start, "--help", cwd=tmp_path, path=installed)
    (tmp_path / "results/empty").mkdir(parents=True)
    (tmp_path / "results/empty/log.jsonl").touch()
    printed = called(sys.executable, "-m", "experiments", "status", cwd=tmp_path, path=installed)
    assert printed == "results/empty: no sweep is in its log.jsonl\n"
    refused = subprocess.run(
        [sys.executable, "-m", "experiments", "ablate", "L9H9", "--run", "mini-seed0"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2 and refused.stderr.strip().splitlines()[-1].startswith("error: "), refused.stderr


def test_constraints_pin_what_the_extras_ask_for() -> None:
    """Every requirement of ours, and every requirement of theirs in this environment, has a pin that it is met by.

    Not those of torch alone: its builds differ in them.
    """
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[normal(name)] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    todo, seen = [(Requirement(one), ()) for one in asked], set()
    while todo:
        requirement, extras = todo.pop()
        name = normal(requirement.name)
        if name == "devcircuits" or (requirement.marker and not _holds(requirement.marker, extras)):
            continue
        assert name in pins, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pins[name], prereleases=True), (str(requirement), pins[name])
        if (name, *sorted(requirement.extras)) in seen:
            continue
        seen.add((name, *sorted(requirement.extras)))
        try:
            theirs = importlib.metadata.requires(requirement.name) or [] if name != "torch" else []
        except importlib.metadata.PackageNotFoundError:  # an extra that is not installed here
            continue
        todo += [(Requirement(one), tuple(requirement.extras)) for one in theirs]
    assert "torchvision" not in pins


def _holds(marker: object, extras: tuple[str, ...]) -> bool:
    return any(marker.evaluate({"extra": extra}) for extra in (*extras, ""))  # type: ignore[attr-defined]


def normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
