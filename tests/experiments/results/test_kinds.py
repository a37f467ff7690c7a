"""Kinds of measurement: names that tell them apart, a version each, and functions that worker processes find."""

import importlib
import inspect
import pickle
import pkgutil
from collections import Counter
from dataclasses import replace

import pytest

import experiments
from experiments.measurements.kinds import MAIN_JOB
from experiments.results.inputs import Inputs
from experiments.results.kind import PARTS_OF_EVERY_KEY, Kind
from experiments.results.plan import Plan, default_plan
from experiments.runs.run import open_run

# Raised by hand where numbers change, and here too, so that it is no accident: stored and committed results of the kind
# are not read from then on. The second number of kinds that sample is `llc.estimate.VERSION`.
VERSIONS: dict[str, tuple[int, ...]] = {
    "ablation_pass": (6,),
    "ablations": (7,),
    "affected_kinds": (7, 2),
    "brackets": (7,),
    "circuit": (7,),
    "closers": (7,),
    "composition": (7,),
    "curvature": (6, 2),
    "curves": (2,),
    "draws": (1, 2),
    "effects_by_prompt": (1,),
    "full": (6, 2),
    "hypothesis_tests": (2,),
    "induction_cuts": (6,),
    "induction_tokens": (7,),
    "labelled_tokens": (2,),
    "logits": (1,),
    "model_multigrams": (7, 2),
    "multigram_moves": (1, 7, 2, 6),
    "offsets": (1,),
    "overlap_changes": (1, 6),
    "own_prompts": (1,),
    "path_effects": (6, 3),
    "paths": (7,),
    "positions": (1,),
    "predictions": (7,),
    "restriction_llc": (1, 2),
    "rivals": (2,),
    "rllc": (6, 2),
    "scores": (7,),
    "self_repair": (1,),
    "skipgram_prompts": (3,),
    "stability": (1,),
    "susceptibilities": (1, 2),
    "syntax_shares": (1, 6),
    "task_prompts": (3,),
    "text_multigrams": (2,),
    "token_map": (1, 1, 2),
    "types": (9, 2, 2),
}


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


def test_every_version_is_what_is_written_here() -> None:
    assert {kind.name: kind.version for kind in ALL.values()} == VERSIONS


@pytest.mark.parametrize("name", ALL)
def test_a_kind_is_complete(name: str) -> None:
    kind = ALL[name]
    assert kind.version and all(isinstance(number, int) for number in kind.version)
    assert {*kind.splits} <= {"train", "test"}
    assert {*kind.plan_fields} <= {*Plan.__dataclass_fields__}
    assert (kind.compute.__doc__ or "").strip(), "what the variables of its dataset are stands in the docstring"
    assert pickle.loads(pickle.dumps(kind)) == kind


@pytest.mark.parametrize("name", ALL)
def test_nothing_hides_a_part_of_a_key(name: str) -> None:
    kind, run = ALL[name], open_run("mini-seed0")
    inputs = Inputs(run, replace(default_plan("python", 256), reference="last", gauge="balanced"))
    also = kind.also(inputs, run.steps[-1] if kind.steps else None) if kind.also else {}
    parameters = {*inspect.signature(kind.compute).parameters} - {"inputs", "step", "cells"}
    if kind.groups:
        parameters = {"restriction"}
    kind.checked(also)
    kind.checked(parameters)
    assert not parameters & {*also}
    for part in PARTS_OF_EVERY_KEY:  # the control
        with pytest.raises(TypeError, match=f"{kind.name}: {part} name parts of every key"):
            kind.checked([*parameters, part])


def test_a_function_inside_a_function_is_not_found_by_workers() -> None:
    """The control: pickling tells them apart."""

    def compute(inputs, step, cells): ...

    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(Kind("local", (1,), compute))
