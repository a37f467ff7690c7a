"""Kinds of measurement: names that tell them apart, a version each, and functions that worker processes find."""

import importlib
import pickle
import pkgutil
from collections import Counter

import pytest

import experiments
from experiments.measurements.kinds import MAIN_JOB
from experiments.results.kind import Kind
from experiments.results.plan import Plan


def kinds() -> dict[str, Kind]:
    """All that stand in modules of folders that measure, by the module and the name of the variable."""
    places = [(folder, f"{experiments.__path__[0]}/{folder}") for folder in ("measurements", "heldout", "tasks")]
    standing = {}
    for folder, path in places:
        for module in pkgutil.iter_modules([path]):
            named = vars(importlib.import_module(f"experiments.{folder}.{module.name}"))
            standing |= {f"{module.name}.{name}": kind for name, kind in named.items() if isinstance(kind, Kind)}
    return standing


ALL = kinds()


def test_names_tell_kinds_apart() -> None:
    different = {id(kind): kind for kind in ALL.values()}
    names = Counter(kind.name for kind in different.values())
    assert len(names) >= 15 and {*names.values()} == {1}, names
    assert {kind.name for kind in MAIN_JOB} <= {*names}


@pytest.mark.parametrize("name", ALL)
def test_a_kind_is_complete(name: str) -> None:
    kind = ALL[name]
    assert kind.version and all(isinstance(number, int) for number in kind.version)
    assert {*kind.splits} <= {"train", "test"}
    assert {*kind.plan_fields} <= {*Plan.__dataclass_fields__}
    assert (kind.compute.__doc__ or "").strip(), "what the variables of its dataset are stands in the docstring"
    assert pickle.loads(pickle.dumps(kind)) == kind
    with pytest.raises(TypeError, match="version"):
        kind.checked(["version"])


def test_a_function_inside_a_function_is_not_found_by_workers() -> None:
    """The control: pickling tells them apart."""

    def compute(inputs, step, cells): ...

    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(Kind("local", (1,), compute))
