"""Data flows one way: experiments -> circuits -> ablations, experiments -> llc -> ablations, and down the folders."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "ablations": set(),
    "llc": {
        *("ablations.forward", "ablations.models", "ablations.names", "ablations.not_measurable"),
        *("ablations.padding", "ablations.running"),
    },
    "circuits": {"ablations"},
    "experiments": {"ablations", "llc", "circuits"},
    "devcircuits": {"ablations", "llc", "circuits", "experiments"},  # the one import: a file that no other imports
}
# Folders of experiments from the bottom up: each may import from itself and from those before it.
FOLDERS = (
    *("storage", "jobs", "corpora", "runs", "results", "measurements"),
    *("statistics", "heldout", "tasks", "plots", "settings", "study", "claims"),
    *("figures", "pages"),
    *("explorer", "investigate", "cli"),
)
FACE = {"experiments.__init__", "experiments.__main__", "experiments.adopt"}  # they hand names on, whatever the folder
MOST_FILES = 20


def imports(source: str) -> set[str]:
    """Modules that a file imports, at any level; `from package import module` counts as the module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def files_of(package: str) -> list[Path]:
    """The files of a package, or the one that it is."""
    return [*(ROOT / package).rglob("*.py")] or [ROOT / f"{package}.py"]


def modules() -> dict[str, set[str]]:
    """What each of our files imports, function-level imports too."""
    return {module_name(f): imports(f.read_text()) for package in ALLOWED for f in files_of(package)}


def breaches(package: str, source: str) -> list[str]:
    """Imports of another of our packages that the package may not have."""
    ours = [name for name in imports(source) if name.partition(".")[0] in set(ALLOWED) - {package}]
    return [name for name in ours if not any(f"{name}.".startswith(f"{allowed}.") for allowed in ALLOWED[package])]


def climbs(module: str, targets: set[str]) -> list[str]:
    """Imports of a file of experiments from a folder above its own."""
    own = FOLDERS.index(module.split(".")[1])
    folders = {name: name.split(".")[1] for name in targets if name.startswith("experiments.")}
    return [name for name, folder in folders.items() if folder in FOLDERS[own + 1 :]]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_arrows(package: str) -> None:
    files = files_of(package)
    assert all(file.is_file() for file in files)
    assert {file.name: found for file in files if (found := breaches(package, file.read_text()))} == {}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("ablations", "from circuits import scores"),
        ("llc", "from ablations import paths"),
        ("llc", "import ablations.effects"),
        ("circuits", "from llc.estimate import learning_coefficient"),
        ("experiments", "import devcircuits"),
        ("ablations", "from devcircuits import heads"),
    ],
)
def test_a_forbidden_import_is_seen(package: str, line: str) -> None:
    assert breaches(package, f"def late():\n    {line}\n")


def test_folders_of_experiments_import_downwards_only() -> None:
    inside = {name: found for name, found in modules().items() if name.startswith("experiments.") and name not in FACE}
    assert {name.split(".")[1] for name in inside} == {*FOLDERS}
    assert {name: up for name, found in inside.items() if (up := climbs(name, found))} == {}


def test_a_climbing_import_is_seen_in_a_function_too() -> None:
    source = "def late():\n    from experiments.pages import report\n"
    assert climbs("experiments.heldout.ablation_pass", imports(source)) == ["experiments.pages.report"]
    assert climbs("experiments.investigate.snapshot", imports(source)) == []


def test_no_folder_is_a_warehouse() -> None:
    counts = {folder: len(list((ROOT / "experiments" / folder).glob("*.py"))) - 1 for folder in FOLDERS}
    assert max(counts.values()) <= MOST_FILES, counts


def arrows(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """By file, the files that it imports; what a package's face hands on is an import of the face."""

    def resolved(target: str) -> set[str]:
        direct = {name for name in found if f"{target}.".startswith(f"{name}.")}
        faces = {name for name in found if f"{target}.".startswith(f"{name.removesuffix('__init__')}")}
        return direct or {face for face in faces if face.endswith("__init__")}

    ends = {name: {end for target in targets for end in resolved(target)} for name, targets in found.items()}
    return {name: {end for end in targets if end not in FACE} for name, targets in ends.items() if name not in FACE}


def cycles(of_files: dict[str, set[str]]) -> list[str]:
    """Files from which one comes back to them."""

    def reaches(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(of_files.get(start, ()))
        while todo:
            here = todo.pop()
            if here not in seen:
                seen.add(here)
                todo += of_files.get(here, ())
        return seen

    return [name for name in of_files if name in reaches(name)]


def test_no_module_is_in_an_import_cycle() -> None:
    """Function-level imports count."""
    assert cycles(arrows(modules())) == []


def test_a_cycle_is_seen_through_a_function_and_through_a_face() -> None:
    found = {
        "experiments.runs.__init__": {"experiments.runs.run.Run"},
        "experiments.runs.run": {"experiments.corpora.load"},
        "experiments.corpora.__init__": {"experiments.corpora.corpus.load"},
        "experiments.corpora.corpus": imports("def late():\n    from experiments.runs import Run\n"),
    }
    assert set(cycles(arrows(found))) == {*found}
