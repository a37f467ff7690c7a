"""What the command line refuses is refused before any text is read."""

import argparse
import json
import shutil
from pathlib import Path

import pytest

from experiments import runs
from experiments.cli import opening
from experiments.results.inputs import Inputs


class TextWasRead(Exception):
    """Reading or building the text has begun."""


@pytest.fixture
def no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(inputs: Inputs) -> None:
        raise TextWasRead

    monkeypatch.setattr(Inputs, "corpus", property(begin))


def named(*folders: Path) -> argparse.Namespace:
    return argparse.Namespace(run=[str(folder) for folder in folders], out=None, corpus=None, seed=0)


def without_reference(folder: Path) -> Path:
    """A run of a preset of its own, of which the zoo has no one-layer model."""
    shutil.copytree(runs.ZOO / "mini-seed1", folder)
    config = json.loads((folder / "config.json").read_text())
    config["preset"]["name"] = "alone"
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_study_without_a_reference_is_refused_before_its_text_is_read(tmp_path: Path, no_text: None) -> None:
    alone = without_reference(tmp_path / "alone-seed0")
    with pytest.raises(ValueError, match="alone-seed0 has no one-layer reference: train or adopt one as"):
        opening.open_study_with_references(named(runs.ZOO / "mini-seed0", alone))  # the first has one
    with pytest.raises(ValueError, match="two or more"):
        opening.open_study_with_references(named(runs.ZOO / "mini-seed0", runs.ZOO / "mini-seed0-1layer"))


def test_runs_that_have_one_go_on_to_their_text(no_text: None) -> None:
    """The control."""
    with pytest.raises(TextWasRead):
        opening.open_study_with_references(named(runs.ZOO / "mini-seed0", runs.ZOO / "mini-seed1"))
