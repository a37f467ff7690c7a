"""What `from llc import ...` offers: names that exist, light to import, none of which hides a module."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import llc

SOURCE = Path(llc.__file__)
MODULES = sorted(module.name for module in pkgutil.iter_modules([str(SOURCE.parent)]))


def names_for_type_checkers() -> dict[str, str]:
    """Names imported under TYPE_CHECKING, and the modules they are from; a module that is a name is its own."""
    blocks = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    (block,) = (node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.name: (node.module or "").removeprefix("llc").removeprefix(".") or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_what_is_promised_is_there_and_type_checkers_see_it() -> None:
    assert set(llc.__all__) == {*llc._MODULES, *llc._SUBMODULES} <= set(dir(llc))
    assert names_for_type_checkers() == llc._MODULES | {name: name for name in llc._SUBMODULES}
    for name, module in llc._MODULES.items():
        assert getattr(llc, name) is getattr(importlib.import_module(f"llc.{module}"), name)
    for name in llc._SUBMODULES:
        assert getattr(llc, name) is importlib.import_module(f"llc.{name}")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llc.nothing  # noqa: B018


def test_no_name_hides_a_module() -> None:
    assert not set(MODULES) & {*llc._MODULES}
    for name in MODULES:
        namespace: dict[str, object] = {}
        exec(f"from llc import {name}", namespace)
        assert namespace[name] is importlib.import_module(f"llc.{name}")


def test_importing_the_package_loads_nothing_else() -> None:
    """Negative control: a name from it does."""
    script = "import sys, llc; print('torch' in sys.modules); llc.sgld; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=SOURCE.parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
