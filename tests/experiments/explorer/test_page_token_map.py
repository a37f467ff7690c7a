"""The page's map of tokens is that of the committed cell; its points are unpacked, placed and found as said."""

import base64
from pathlib import Path

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.explorer import token_map_data
from experiments.investigate.investigation import Investigation
from experiments.measurements.susceptibilities import probe_classes, probe_rows
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.study.study import Study
from llc import token_map
from tests.experiments.explorer.in_node import called
from tests.experiments.explorer.made_token_map import keep_map
from tests.experiments.explorer.programs import needs_node

MAP = ("weights", "map_data")


def floats(packed: str, rows: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), "<f2").astype(float).reshape(rows, -1)


@pytest.fixture(scope="module")
def bundled() -> Cells:
    run = runs.open_run("mini-seed0")
    return Cells(Path("unused"), run, default_plan("python", run.config["model"]["n_ctx"]), committed=True)


@pytest.fixture(scope="module")
def shown(bundled: Cells) -> dict:
    return token_map_data.of_run(bundled)


def test_the_map_of_the_bundled_run_is_that_of_the_committed_cell(bundled: Cells, shown: dict) -> None:
    found = Study((bundled,)).token_map(bundled)
    whole = token_map.components(found["value"].values.astype(float), 2)
    scores = floats(shown["value"]["scores"], 2)
    expected = whole.scores / whole.scores.std(1, keepdims=True)
    assert np.allclose(scores, expected, atol=0.01) and not np.allclose(scores, expected[::-1], atol=0.5)
    assert np.allclose(floats(shown["noise"]["values"], 16), found["noise"].values, atol=0.01)
    assert np.allclose(shown["value"]["share"], whole.shares, rtol=1e-3)
    assert np.allclose(shown["value"]["loadings"], whole.loadings, atol=1e-4)
    rows = np.asarray(probe_rows(bundled.inputs).tokens)
    assert shown["rows"] == rows.tolist() and len(shown["class_of"]) == rows[:, 1:].size == scores.shape[1]
    names = [one["name"] for one in shown["classes"]]
    assert [names[number] for number in shown["class_of"]] == probe_classes(bundled.inputs).tolist()


@pytest.mark.usefixtures("small")
def test_a_planted_component_comes_out_first(trained: Path, tmp_path: Path) -> None:
    """The first component of the posterior parts the words; that of the Gaussian draws is weak, of the same sign."""
    cells = Investigation(trained / "runs/tiny-seed0", out=tmp_path / "out", tokens=1500).snapshot.cells
    with pytest.raises(NotMeasurable, match="susceptibilities of tiny-seed0 are not sampled yet"):
        token_map_data.of_run(cells)
    keep_map(cells)
    found = token_map_data.of_run(cells)
    words = np.array(found["class_of"]) == [one["name"] for one in found["classes"]].index("word start")
    for source, least, most in (("value", 2.5, np.inf), ("noise", 0.3, 2.5)):
        first = floats(found[source]["scores"], 2)[0]
        apart = (first[words].mean() - first[~words].mean()) / first[~words].std()
        assert least < apart < most, source


@needs_node
def test_points_are_unpacked_in_the_order_of_the_text(shown: dict) -> None:
    body = """
        const whole = unpacked(given);
        const { row, at } = placeOf(given, 300);
        return { tokens: whole.tokens.slice(0, 600), token: row[at], row: given.rows.indexOf(row), at,
          score: Array.from(whole.sources.noise.scores[1].slice(0, 40)),
          value: Array.from(whole.sources.value.values[15].slice(0, 40)) };
    """
    answer = called(MAP, body, shown)
    rows = np.array(shown["rows"])
    assert answer["tokens"] == rows[:, 1:].ravel()[:600].tolist()
    assert (answer["row"], answer["at"]) == (1, 300 - 255 + 1) and answer["token"] == rows[1, 46] == answer["tokens"][
        300
    ]
    assert answer["score"] == floats(shown["noise"]["scores"], 2)[1, :40].tolist()
    assert answer["value"] == floats(shown["value"]["values"], 16)[15, :40].tolist()
    assert answer["value"] != floats(shown["noise"]["values"], 16)[15, :40].tolist()


@needs_node
def test_places_and_colours_are_as_said() -> None:
    body = """
        const scale = asinhScale(10, 100, 300);
        return { places: [-10, 0, 10, 1].map(scale), near: nearestPoint([0, 5, 9], [0, 0, 0], 6, 0, 3),
          none: nearestPoint([0, 5, 9], [0, 0, 0], 20, 0, 3), tints: [-9, -3, 0, 3].map(tintOf) };
    """
    answer = called(MAP, body, 0)
    assert np.allclose(answer["places"], [100, 200, 300, 200 + 100 * np.arcsinh(1) / np.arcsinh(10)])
    assert (answer["near"], answer["none"]) == (1, -1)
    assert answer["tints"] == ["rgb(0,114,178)", "rgb(0,114,178)", "rgb(150,150,150)", "rgb(213,94,0)"]
