"""What `from circuits import ...` offers: names that exist, light to import, none of which hides a module."""

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import circuits

SOURCE = Path(circuits.__file__)
MODULES = sorted(module.name for module in pkgutil.iter_modules([str(SOURCE.parent)]))
WITH_EXAMPLES = {
    *("classify", "composition", "discover", "enough_prompts", "graph", "multigrams", "planted", "positions", "scores"),
    *("self_repair", "tasks"),
}


def names_for_type_checkers() -> dict[str, str]:
    """Names imported under TYPE_CHECKING, and the modules they are from."""
    blocks = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    (block,) = (node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: (node.module or "").removeprefix("circuits").removeprefix(".") or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_what_is_promised_is_there_and_type_checkers_see_it() -> None:
    seen = names_for_type_checkers()
    assert set(circuits.__all__) == set(circuits._MODULES) == set(seen) - set(circuits._RENAMED)
    assert seen == circuits._MODULES | circuits._RENAMED
    for name in circuits.__all__:
        assert getattr(circuits, name) is getattr(importlib.import_module(f"circuits.{seen[name]}"), name)
    assert set(circuits.__all__) <= set(dir(circuits))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        circuits.nothing  # noqa: B018


def test_no_name_hides_a_module() -> None:
    assert not set(MODULES) & {*circuits.__all__, *circuits._RENAMED}


@pytest.mark.parametrize("old", circuits._RENAMED)
def test_old_names_of_modules_work_and_say_the_new_ones(old: str) -> None:
    new = circuits._RENAMED[old]
    with pytest.warns(DeprecationWarning, match=f"circuits.{old} is now circuits.{new}"):
        assert getattr(circuits, old) is importlib.import_module(f"circuits.{new}")


def test_importing_the_package_loads_nothing_else() -> None:
    """Negative control: a name from it does."""
    script = "import sys, circuits; print('torch' in sys.modules); circuits.Task; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=SOURCE.parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"circuits.{name}"))
    assert results.failed == 0
    assert (results.attempted > 0) == (name in WITH_EXAMPLES)
