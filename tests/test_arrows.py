"""Data flows one way: experiments -> circuits -> ablations, experiments -> llc -> ablations."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "ablations": set(),
    "llc": {"ablations.forward", "ablations.names"},
    "circuits": {"ablations"},
    "experiments": {"ablations", "llc", "circuits"},
}


def imports(source: str) -> set[str]:
    """Modules that a file imports, at any level; `from package import module` counts as the module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def breaches(package: str, source: str) -> list[str]:
    """Imports of another of our packages that the package may not have."""
    ours = [name for name in imports(source) if name.partition(".")[0] in set(ALLOWED) - {package}]
    return [name for name in ours if not any(f"{name}.".startswith(f"{allowed}.") for allowed in ALLOWED[package])]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_arrows(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    assert {file.name: found for file in files if (found := breaches(package, file.read_text()))} == {}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("ablations", "from circuits import scores"),
        ("llc", "from ablations import paths"),
        ("llc", "import ablations.effects"),
        ("circuits", "from llc.estimate import llc"),
    ],
)
def test_a_forbidden_import_is_seen(package: str, line: str) -> None:
    assert breaches(package, f"def late():\n    {line}\n")


def test_no_module_is_in_an_import_cycle() -> None:
    modules = {}
    for package in ALLOWED:
        for file in (ROOT / package).rglob("*.py"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            top_level = "\n".join(
                ast.unparse(n) for n in ast.parse(file.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)
            )
            modules[name] = imports(top_level)
    arrows = {
        name: {m for m in modules for target in found if target == m or target.startswith(m + ".")}
        for name, found in modules.items()
    }
    packages = {name for name in modules if any(other.startswith(name + ".") for other in modules)}
    arrows = {name: {t for t in targets if t not in packages} for name, targets in arrows.items()}

    def reaches(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(arrows[start])
        while todo:
            here = todo.pop()
            if here not in seen:
                seen.add(here)
                todo += arrows[here]
        return seen

    assert [name for name in modules if name in reaches(name)] == []
