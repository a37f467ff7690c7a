"""A notebook in a folder of its own, and a command beside it, keep results in one place."""

from pathlib import Path

import pytest

from experiments.runs import places


@pytest.mark.parametrize("mark", [".git", "pyproject.toml"])
def test_folders_of_a_project_share_their_results(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebooks = tmp_path / "work" / "notebooks"
    notebooks.mkdir(parents=True)
    monkeypatch.chdir(notebooks)
    assert places.results_of("mini-seed0") == Path("results/mini-seed0")  # negative control: this is no project yet
    (tmp_path / "work" / mark).touch()
    assert places.results_of("mini-seed0").resolve() == tmp_path / "work" / "results" / "mini-seed0"
    monkeypatch.chdir(tmp_path / "work")
    assert places.results_of("mini-seed0") == Path("results/mini-seed0")


def test_the_nearest_project_counts_and_home_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "home" / "project" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    (tmp_path / "home" / ".git").mkdir()  # settings that are kept in a repository do not make home a project
    monkeypatch.chdir(inner)
    assert places.project() == Path()
    (inner.parent / "pyproject.toml").touch()
    assert places.project().resolve() == inner.parent


def test_runs_are_found_from_every_folder_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    with pytest.raises(ValueError, match="no run 'mine'"):
        places.folder_of("mine")
    (tmp_path / "pyproject.toml").touch()
    assert places.folder_of("mine").resolve() == run
