"""What `import devcircuits as dc` offers: the packages' own names, light to import, with an example that runs."""

import ast
import doctest
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import devcircuits as dc

SOURCE = Path(dc.__file__)
SCRIPT = """
import sys, time
begin = time.perf_counter()
import devcircuits as dc
print(time.perf_counter() - begin)
print(*(name in sys.modules for name in ("torch", "xarray", "matplotlib", "transformer_lens")))
dc.ablate
print("torch" in sys.modules)
"""


def names_for_type_checkers() -> dict[str, str]:
    """Names imported under TYPE_CHECKING, and where they are from."""
    (block,) = (
        node
        for node in ast.parse(SOURCE.read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imported = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imported for alias in node.names}


def test_names_are_those_of_the_packages_and_type_checkers_see_them() -> None:
    seen = names_for_type_checkers()
    assert set(dc.__all__) == set(dc._HOMES) == set(seen) and len(dc.__all__) == len(set(dc.__all__))
    for name, home in seen.items():
        there = importlib.import_module(home)
        assert getattr(dc, name) is getattr(there, name)
        assert dc._HOMES[name] == (f"{home}.{name}" if name in dc._MODULES else home)
        assert name in (dc.__doc__ or "").split("Example:")[0], "the docstring tells of each"
    assert set(dc.__all__) <= set(dir(dc))
    with pytest.raises(AttributeError, match="no attribute 'nothing': it has MINI, PAPER"):
        dc.nothing  # noqa: B018


def test_the_import_loads_nothing_heavy() -> None:
    """Negative control: a name from it does."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=SOURCE.parent, capture_output=True, text=True, check=True)
    seconds, heavy, later = done.stdout.strip().split("\n")
    assert float(seconds) < 2  # some hundredths on a machine that has nothing else to do
    assert heavy.split() == ["False"] * 4 and later == "True"


def test_the_example_prints_what_it_says() -> None:
    results = doctest.testmod(dc)
    assert results.attempted >= 5 and results.failed == 0


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    assert dc.__version__ == project["version"]
