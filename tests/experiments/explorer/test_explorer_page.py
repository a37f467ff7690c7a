"""The page holds what the cells and the checkpoints hold, needs no network, and says what it cannot show."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablations import substitutes
from experiments import runs
from experiments.explorer import circuit_data, data, links, live, page
from experiments.investigate.investigation import Investigation
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.tasks import path_effects, stability
from llc.intervals import half_widths
from tests.conftest import GPT2, make_model
from tests.experiments.explorer.in_node import LIVE, called
from tests.experiments.explorer.programs import needs_node

pytestmark = pytest.mark.usefixtures("small")

DATA = re.compile(r'<script id="data" type="application/json">(.*?)</script>', re.DOTALL)
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, which nothing is fetched from
LARGEST = 12_000_000  # bytes of the page of a bundled run


@pytest.fixture(scope="module")
def inv(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Investigation:
    return Investigation(trained / "runs/tiny-seed0", out=tmp_path_factory.mktemp("explore") / "out", tokens=1500)


@pytest.fixture(scope="module")
def written(inv: Investigation) -> str:
    path = inv.explore()
    assert path.name == "explore.html" and path.parent == inv.snapshot.cells.folder
    assert 'href="explore.html"' in (path.parent / "index.html").read_text()
    return path.read_text()


@pytest.fixture(scope="module")
def shown(written: str) -> dict:
    (content,) = DATA.findall(written)
    return json.loads(content)


def close(shown: object, expected: object) -> bool:
    """Up to the digits that the page keeps."""
    return np.allclose(np.array(shown, dtype=float), np.array(expected, dtype=float), rtol=1e-4, atol=0, equal_nan=True)


def test_scores_and_coefficients_are_those_of_the_cells(inv: Investigation, shown: dict) -> None:
    cells = inv.snapshot.cells
    assert shown["steps"] == inv.run.steps and data.missing(cells) == []
    for number, step in enumerate(inv.run.steps):
        cell = cells.get(SCORES, step)
        ours = np.array(shown["scores"]["previous_token"])[:, number]
        assert close(ours, cell.previous_token) and not close(ours, cell.current_token)
        assert close(shown["scores"]["loss"][number], cell.loss)
    for head, about in enumerate(shown["heads"]):
        for number, step in enumerate(shown["rllc"]["trained"]["steps"]):
            cell = cells.get(RLLC, step, restriction=about["name"])
            assert close(shown["rllc"]["trained"]["value"][head][number], cell.value)
            assert close(shown["rllc"]["trained"]["half"][head][number], half_widths(cell))


def test_paths_are_those_of_the_cells(inv: Investigation, shown: dict) -> None:
    cells, found = inv.snapshot.cells, shown["circuit"]
    table = path_effects.table(cells, "induction", found["steps"])
    again = stability.table(cells, "induction", inv.run.steps[-1])
    assert found["steps"] == inv.run.steps  # so few, and so small a model, that all are measured
    assert [path["name"] for path in found["paths"]] == table.path.values.tolist()
    assert close(found["effect"], table.effect.transpose("step", "path")) and not close(found["effect"], found["half"])
    assert np.array_equal(np.array(found["found"], dtype=bool), table.found.transpose("step", "path"))
    assert [path["frequency"] for path in found["paths"]] == again.frequency.values.tolist()
    ends = {node["name"] for node in found["nodes"]}
    assert {path[end] for path in found["paths"] for end in ("source", "target")} <= ends


def test_the_largest_effects_are_kept_where_there_are_too_many(inv: Investigation, shown, monkeypatch) -> None:
    monkeypatch.setattr("experiments.explorer.circuit_data.MOST", 5)
    fewer = data.gather(inv.snapshot.cells)["circuit"]
    largest = np.abs(np.array(shown["circuit"]["effect"])).max(0)
    assert len(fewer["paths"]) == 5 and fewer["measured"] == len(largest) > 5
    assert sorted(np.abs(np.array(fewer["effect"])).max(0)) == sorted(largest)[-5:]


def test_weights_and_means_are_those_of_the_checkpoint(inv: Investigation, shown: dict) -> None:
    checkpoint, cells = shown["live"]["checkpoints"][-1], inv.snapshot.cells
    assert checkpoint["step"] == inv.run.steps[-1]
    packed = np.frombuffer(base64.b64decode(checkpoint["weights"]), "<f2")
    arrays, start = inv.run.arrays(checkpoint["step"]), 0
    for part in shown["live"]["layout"]:
        ours = packed[start : (start := start + part["size"])]
        assert np.array_equal(ours, arrays[part["name"]].astype(np.float16).ravel())
    assert start == len(packed)
    weights = live.rounded(cells, checkpoint["step"])
    means = substitutes.mean_z(weights, inv.snapshot.cfg, cells.inputs.reference)
    assert np.allclose(checkpoint["means"]["L1H2"], means[1, 2], rtol=1e-6)
    assert not np.allclose(checkpoint["means"]["L1H2"], means[1, 3], rtol=1e-3)


@needs_node
def test_the_page_runs_the_examples_as_python_does(inv: Investigation, shown: dict) -> None:
    body = "return Array.from(makeLive(given.live).run(given.step, given.live.examples[0]).run.logits);"
    step = shown["live"]["checkpoints"][-1]["step"]
    ours = np.array(called(LIVE, body, {"live": shown["live"], "step": step}))
    expected = _logits(inv.snapshot.cells, step, shown["live"]["examples"][0])
    assert np.abs(ours - expected).max() < 1e-4 < np.abs(ours - expected[::-1]).max()


def _logits(cells: Cells, step: int, row: list[int]) -> np.ndarray:
    import torch

    from ablations import forward

    with torch.no_grad():
        return forward.logits(live.rounded(cells, step), cells.run.model_config(), torch.tensor([row])).numpy().ravel()


def test_nothing_is_fetched(written: str) -> None:
    rest = written.replace(NAMESPACE, "")
    assert not re.search(r"https?:|//cdn|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|\beval\(|<link|src=", rest)
    assert "default-src 'none'" in rest and len(written.encode()) < LARGEST
    assert re.search(r"src=", rest + '<img src="x">')  # the control


def test_text_of_users_cannot_end_the_data() -> None:
    value = {"text": "</script><script>alert(1)</script><!--", "other": "é\u2028"}
    content = page.as_script(value)
    assert "<" not in content and json.loads(content) == value


def test_a_template_in_the_data_stays_as_it_is(written: str, shown: dict) -> None:
    again = page.build(shown | {"name": "{{script}}\\1 <b>"})
    assert "<h1>{{script}}\\1 &lt;b&gt;</h1>" in again
    assert json.loads(DATA.findall(again)[0])["name"] == "{{script}}\\1 <b>"


def test_every_script_is_in_the_page_and_imports_what_stands_before_it() -> None:
    assert {path.stem for path in page.FOLDER.glob("*.js")} == {*page.SCRIPTS}
    for number, name in enumerate(page.SCRIPTS):
        source = (page.FOLDER / f"{name}.js").read_text()
        imported = re.findall(r'^import .*? from "\./(\w+)\.js";', source, re.MULTILINE | re.DOTALL)
        assert set(imported) <= {*page.SCRIPTS[:number]}, name
    assert not re.search(r"^(import|export) ", page.joined(page.SCRIPTS), re.MULTILINE)


@needs_node
def test_the_scripts_share_no_name() -> None:
    """All but the last are read together, and do nothing by themselves."""
    assert called(page.SCRIPTS[:-1], "return [typeof scrubber, typeof circuit, typeof strips, typeof text];", 0) == (
        ["function"] * 4
    )


def test_a_model_with_mlps_is_shown_but_not_alive(inv: Investigation, corpus_file: Path, tmp_path: Path) -> None:
    sizes = {"n_ctx": inv.run.config["model"]["n_ctx"], "d_vocab": inv.run.config["model"]["d_vocab"]}
    model = make_model(**(sizes | GPT2 | {"d_mlp": 32})).requires_grad_(False)
    about = {"corpus": f"text:{corpus_file}", "tokenizer": inv.run.tokenizer, "out": tmp_path / "out"}
    gathered = json.loads(DATA.findall(Investigation(model, **about).explore().read_text())[0])
    assert gathered["live"].keys() == {"reason"} and gathered["live"]["reason"].startswith("it has MLPs: ")
    assert gathered["circuit"]["paths"] and gathered["scores"]["loss"] and gathered["rllc"]["trained"]["value"]
    assert gathered["history"] == {"tokens": [], "loss": []}


def test_a_run_of_one_layer_is_alive_but_has_no_paths(trained: Path, tmp_path: Path) -> None:
    inv = Investigation(trained / "runs/tiny-seed0-1layer", out=tmp_path / "out", tokens=1500)
    gathered = json.loads(DATA.findall(inv.explore().read_text())[0])
    reason = "the run has 1 layer: paths between heads need two or more"
    assert gathered["stages"].keys() == gathered["map"].keys() == {"reason"}
    assert gathered["circuit"] == {"reason": reason} and gathered["live"]["config"]["layers"] == 1


def test_checkpoints_without_paths_are_few_where_measuring_takes_long(inv: Investigation, monkeypatch) -> None:
    """Those that are measured already are shown nevertheless."""
    cells, steps = inv.snapshot.cells, inv.run.steps
    assert circuit_data.steps_of(cells) == steps
    monkeypatch.setattr(circuit_data, "AFFORDABLE", 0.0)
    elsewhere = replace(cells, folder=cells.folder / "elsewhere")
    monkeypatch.setattr("experiments.tasks.path_effects.STEPS", 2)
    assert circuit_data.steps_of(elsewhere) == [steps[0], steps[-1]] != steps == circuit_data.steps_of(cells)


def test_pages_beside_it_are_linked_where_they_are(inv: Investigation) -> None:
    cells, last = inv.snapshot.cells, inv.run.steps[-1]
    assert links.of_folder(replace(cells, folder=cells.folder / "elsewhere")) == {
        "pages": {"All results": "index.html"},
        "cards": {},
    }
    for name in ("report.html", f"circuit_induction_{last}.html", "heads/L1H3.html", "heads/L1H3_0.html"):
        (cells.folder / name).parent.mkdir(exist_ok=True)
        (cells.folder / name).write_text("<title>a page</title>")
    found = links.of_folder(cells)
    assert found["pages"] == {
        "All results": "index.html",
        "Report": "report.html",
        "Circuit": f"circuit_induction_{last}.html",
    }
    assert found["cards"] == {"L1H3": "heads/L1H3.html"}


def test_types_are_those_of_the_checkpoints_at_which_they_are_known(inv: Investigation, shown, monkeypatch) -> None:
    assert shown["types"] == {}
    first = inv.run.steps[0]
    monkeypatch.setattr(data.head_types, "labels", lambda _, step: {"L0H1": "mixed"} if step == first else {})
    assert data.gather(inv.snapshot.cells)["types"] == {str(first): {"L0H1": "mixed"}}


@pytest.mark.slow
def test_the_bundled_run_fits_and_runs_as_in_python() -> None:
    """Three checkpoints of mini-seed0: the size of what is alive, and every logit of an example at each."""
    run = runs.open_run("mini-seed0")
    cells = Cells(Path("unused"), run, default_plan("python", run.config["model"]["n_ctx"]), committed=True)
    alive = live.of_run(cells)
    assert len(json.dumps(alive)) < LARGEST / 2 and [one["step"] for one in alive["checkpoints"]][-1] == run.steps[-1]
    body = (
        "return given.checkpoints.map(({step}) => Array.from(makeLive(given).run(step, given.examples[1]).run.logits));"
    )
    for checkpoint, ours in zip(alive["checkpoints"], called(LIVE, body, alive), strict=True):
        expected = _logits(cells, checkpoint["step"], alive["examples"][1])
        assert np.abs(np.array(ours) - expected).max() < 1e-4
