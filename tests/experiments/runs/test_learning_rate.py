"""The caution about a learning rate that decays: it follows from what a run's configuration says, not from its name."""

import copy
from pathlib import Path

import pytest
from markupsafe import Markup

from experiments import runs
from experiments.claims import table
from experiments.pages import claims_page, report
from experiments.pages.layout.page import Section
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import presets
from experiments.runs.learning_rate import decay_note, decay_notes
from experiments.runs.run import Run
from experiments.study.study import Study
from tests.experiments.pages.page_checks import faults

MINI = runs.open_run("mini-seed0")


def changed(folder: Path = MINI.folder, **preset: object) -> Run:
    """The bundled run with other words in its configuration."""
    config = copy.deepcopy(MINI.config)
    config["preset"] |= preset
    return Run(folder, config)


def test_it_names_where_the_decay_begins_and_what_was_measured_before() -> None:
    note = decay_note(MINI, MINI.steps)
    assert "from step 19,600 to its end at step 28,000" in note and "after step 16,000" in note
    rates = [presets.get("mini").learning_rate(step) for step in (19_599, 19_600, 19_601)]
    assert rates[0] == rates[1] > rates[2]


def test_it_is_of_the_configuration_and_not_of_the_name() -> None:
    assert decay_note(changed(Path("another/name")), MINI.steps) == decay_note(MINI, MINI.steps)
    assert decay_note(changed(decay_share=0.0), MINI.steps) == ""
    assert "from step 14,000" in decay_note(changed(decay_share=0.5), MINI.steps)


def test_nothing_is_said_where_the_steps_that_are_shown_lie_before_it() -> None:
    assert decay_note(MINI, [0, 1600, 16_000]) == decay_note(MINI, [19_600]) == ""
    assert "parts here" in decay_note(MINI, [24_000, 28_000])


def test_a_run_that_does_not_say_how_it_was_trained_has_no_caution() -> None:
    preset = {"name": "adopted", "corpus": "python", "code_share": 0.3, "n_ctx": 256, "batch_size": None}
    assert decay_note(Run(MINI.folder, MINI.config | {"preset": preset}), MINI.steps) == ""


def test_several_runs_are_told_once() -> None:
    shown = [(MINI, MINI.steps), (changed(decay_share=0.0), MINI.steps), (runs.open_run("mini-seed1"), MINI.steps)]
    (note,) = decay_notes(shown)
    assert note.startswith("mini-seed0, mini-seed1: The learning rate")


@pytest.mark.parametrize(("share", "told"), [(0.3, True), (0.0, False)])
def test_pages_begin_with_it(share: float, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_page, "_other_figures", lambda *parts: Section("", Markup()))  # nothing is measured here
    cells = Cells(tmp_path, changed(decay_share=share), default_plan("python", 256))
    study = Study((cells,))
    claims = table.as_markdown(study, [])
    assert (claims.index("decays to 0") < claims.index("Verdicts from")) if told else "decays to 0" not in claims
    assert ("decays to 0 from step 19,600" in report._head(cells, "")) == told
    page = claims_page.write(study, [], tmp_path / "claims").read_text()
    assert faults(page, tmp_path / "claims") == [] and 'href="../index.html"' in page, "the run's index is there"
    assert (page.index("decays to 0") < page.index("Twelve findings")) if told else "decays to 0" not in page
