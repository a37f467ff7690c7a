"""The page in a real browser: it scrubs, cuts, runs a text of one's own and exports, without an error or a request."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import browser
from benchmarks.browser import Browser, Page
from circuits import graph
from experiments.investigate.investigation import Investigation
from experiments.tasks import path_effects
from tests.experiments.explorer.acting import (
    KEEP_FILES,
    OVER,
    SHOWN,
    SUMMARY,
    UNNAMED,
    change,
    click,
    rows,
    saved,
    text,
    wait_for,
)
from tests.experiments.explorer.made_token_map import keep_map
from tests.experiments.explorer.programs import needs_chromium

pytestmark = [pytest.mark.usefixtures("small"), needs_chromium]

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def inv(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Investigation:
    inv = Investigation(trained / "runs/tiny-seed0", out=tmp_path_factory.mktemp("chromium") / "out", tokens=1500)
    keep_map(inv.snapshot.cells)
    (inv.snapshot.cells.folder / "heads").mkdir()
    (inv.snapshot.cells.folder / "heads/L1H2.html").write_text("<title>a card</title>")
    return inv


@pytest.fixture(scope="module")
def written(inv: Investigation) -> Path:
    return inv.explore()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.running(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(chromium: Browser, written: Path) -> Iterator[Page]:
    """The page in a window of its own; at the end it has not complained, and has asked for nothing."""
    opened = chromium.open(f"file://{written}")
    opened.run(KEEP_FILES)
    yield opened
    assert opened.complaints() == [] and opened.requests() == []


def test_everything_follows_the_curve(page: Page) -> None:
    first, marker = text(page, "#readout"), 'document.querySelector(".strip .marker").getAttribute("transform")'
    at_end, lead = page.run(marker), text(page, "#circuit-lead")
    change(page, "#checkpoint", 0)
    assert text(page, "#readout").startswith("step 0,") and not first.startswith("step 0,")
    assert page.run(marker) != at_end and text(page, "#circuit-lead") != lead
    page.press("ArrowRight")
    second = text(page, "#readout")
    assert second not in (first, text(page, "#circuit-lead")) and not second.startswith("step 0,")
    wait_for(page, "location.hash.startsWith('#step=')")
    box = page.run("(() => { const b = document.querySelector('#curve svg').getBoundingClientRect(); "
                   "return [b.left, b.right, (b.top + b.bottom) / 2]; })()")  # fmt: skip
    page.mouse("mousePressed", box[1] - 14, box[2])
    page.mouse("mouseReleased", box[1] - 14, box[2])
    page.settle()
    assert text(page, "#readout") == first
    click(page, "#play", "Play")
    assert text(page, "#readout").startswith("step 0,")  # it begins anew from the end
    wait_for(page, f"document.querySelector('#readout').textContent === {json.dumps(second)}")
    click(page, "#play", "Pause")


def test_changes_within_a_frame_are_drawn_once(page: Page) -> None:
    page.run("window.drawn = 0; new MutationObserver(() => drawn++).observe(document.querySelector('#readout'), "
             "{ childList: true })")  # fmt: skip
    page.run("for (const to of [0, 1, 2, 0]) { const range = document.getElementById('checkpoint'); range.value = to; "
             "range.dispatchEvent(new Event('input', { bubbles: true })); }")  # fmt: skip
    page.settle()
    assert page.run("drawn") == 1 and text(page, "#readout").startswith("step 0,")


def test_paths_are_shown_by_the_switches(page: Page) -> None:
    change(page, "#circuit-controls select", "all", "change")
    change(page, "#circuit-controls input[type=range]", 0)
    everything = page.run(SHOWN)
    change(page, "#circuit-controls input[type=range]", 1)
    assert everything > 20 and page.run(SHOWN) <= 1
    assert page.run(UNNAMED) == []


def test_a_path_is_clicked_for_its_numbers_and_tokens_and_cut(page: Page) -> None:
    change(page, "#circuit-controls select", "all", "change")
    change(page, "#circuit-controls input[type=range]", 0)
    click(page, '.hit[aria-label^="L0H1->L1H2.k"]')
    assert text(page, "#chosen[role=status]") == "Beside the circuit: L0H1->L1H2.k"
    assert "L0H1 → L1H2 keys" in text(page, "#details") and "nats" in text(page, "#details svg title")
    wait_for(page, "document.querySelector('#details').textContent.includes('24 held-out texts')")
    before = page.run(SUMMARY)
    click(page, "#details button", "Cut this path")
    assert "→" in page.run(SUMMARY) and "→" not in before
    click(page, "#details button.context")  # its token, in its text
    assert page.run("[...document.querySelectorAll('.token.chosen')].length") == 1
    assert page.run("document.querySelector('#details button.context b').textContent === "
                    "document.querySelector('.token.chosen').textContent")  # fmt: skip
    click(page, "fieldset button", "Nothing removed")
    assert "→" not in page.run(SUMMARY)


def test_a_head_leads_to_its_card_and_stays_pinned_everywhere(page: Page) -> None:
    click(page, ".node", "L1H2")
    assert page.run("document.querySelector('#details a').getAttribute('href')") == "heads/L1H2.html"
    click(page, "#details button", "Pin")
    for selector in (".strip.is-pinned h3", ".node.is-pinned .name", "fieldset .is-pinned", "#map-body .is-pinned"):
        assert text(page, selector) == "L1H2", selector
    assert "L1H2" in text(page, "#text-body > .split > div:last-child")
    assert page.run("document.querySelectorAll('#details a, .strip a').length") == 2  # no card, no link


def test_a_text_of_ones_own_is_run(page: Page) -> None:
    change(page, "textarea", "def f(x):\n    return x")
    wait_for(page, "document.querySelector('.tokens').textContent.includes('return')")
    click(page, "fieldset .chips button", "L0H1")
    change(page, "#text-body .controls label:last-child select", "change", "change")
    page.run("document.querySelectorAll('.token')[3].dispatchEvent(new Event('pointerenter'))")
    looked = (
        "[...document.querySelectorAll('.token')].filter((one) => /0\\.[0-9]+\\)/.test(one.style.background)).length"
    )
    assert page.run(looked) >= 1
    click(page, ".token:nth-child(3)")
    assert page.run("document.querySelector('.token:nth-child(3)').classList.contains('chosen')")
    assert "nats" in page.run("document.querySelector('.token:nth-child(3)').title")


def test_the_map_of_tokens_is_linked_with_text_and_heads(page: Page) -> None:
    page.run("document.querySelector('#map-body canvas').focus()")
    page.press("ArrowRight")
    assert "standard deviations" in text(page, "#map-readout") and "[" in text(page, "#map-readout")
    click(page, "#map-body button", "Show it in the text")
    chosen = page.run("document.querySelector('.token.chosen').textContent")
    assert f"[{chosen}]" in text(page, "#map-readout")
    click(page, "#map-body aside button", "L0H3")
    assert "L0H3 expresses it" in text(page, "#map-body .legend") and text(page, ".node.chosen .name") == "L0H3"
    posterior = page.run("document.querySelector('#map-body canvas').toDataURL()")
    change(page, "#map-body select", "noise", "change")
    assert page.run("document.querySelector('#map-body canvas').toDataURL()") != posterior


def test_pictures_of_every_view_are_saved(page: Page) -> None:
    views = {"#curve-files": "training", "#circuit-controls": "circuit", "#strip-controls": "heads",
             "#text-body": "text", "#map-files": "token_map"}  # fmt: skip
    change(page, "#circuit-controls select", "all", "change")
    for place, name in views.items():
        picture = ElementTree.fromstring(saved(page, f"{place} button", "SVG", f"tiny-seed0_{name}.svg").decode())
        assert picture.tag == f"{SVG}svg" and len(list(picture.iter())) > 10, name
        assert "hit" not in {part.get("class") for part in picture.iter()}
        png = saved(page, f"{place} button", "PNG", f"tiny-seed0_{name}.png")
        assert png.startswith(b"\x89PNG\r\n\x1a\n") and len(png) > 3000, name
    circuit = ElementTree.fromstring(saved(page, "#circuit-controls button", "SVG", "tiny-seed0_circuit.svg").decode())
    strokes = [part.get("stroke", "") for part in circuit.iter(f"{SVG}path") if part.get("class") == "path"]
    assert len(strokes) > 5 and all(stroke.startswith("rgb(") for stroke in strokes)


def test_every_table_is_saved(page: Page, inv: Investigation) -> None:
    heads = rows(saved(page, "#strip-controls button", "CSV", "tiny-seed0_heads.csv"))
    assert {row["measure"] for row in heads} >= {"rllc_trained", "previous_token", "prefix_matching"}
    assert len({row["head"] for row in heads}) == 8 and all(float(row["value"]) == float(row["value"]) for row in heads)
    table = path_effects.table(inv.snapshot.cells, "induction", inv.run.steps[-1:]).isel(step=-1)
    paths = [row for row in rows(saved(page, "#circuit-controls button", "CSV", "tiny-seed0_paths.csv"))
             if row["step"] == str(inv.run.steps[-1])]  # fmt: skip
    assert [float(row["effect"]) for row in paths] == table.effect.astype(float).values.tolist()
    losses = rows(saved(page, "#curve-files button", "CSV", "tiny-seed0_training.csv"))
    assert {"training text", "held-out text"} <= {row["what"] for row in losses}
    tokens = rows(saved(page, "#text-body > .controls button", "CSV", "tiny-seed0_text.csv"))
    assert len(tokens) == page.run("document.querySelectorAll('.token').length")
    assert len(rows(saved(page, "#map-files button", "CSV", "tiny-seed0_token_map.csv"))) > 100
    click(page, ".node", "L1H2")
    tables = "[...document.querySelectorAll('table')].filter((one) => !one.parentElement.querySelector('button.file'))"
    assert page.run(f"{tables}.length") == 0 < page.run("document.querySelectorAll('table').length")


def test_the_circuit_is_saved_as_python_writes_it_for_mib(page: Page, inv: Investigation) -> None:
    cfg, last = inv.run.model_config(), inv.run.steps[-1]
    table = path_effects.table(inv.snapshot.cells, "induction", [last]).isel(step=0)
    name = f"tiny-seed0_circuit_{last}_mib.json"
    ours = json.loads(saved(page, "#circuit-controls button", "MIB", name))
    expected = graph.mib(graph.from_table(cfg, table), cfg)
    assert ours == json.loads(json.dumps(expected))
    assert ours != json.loads(json.dumps(graph.mib(graph.from_table(cfg, table.assign(effect=table.p)), cfg)))


def test_a_view_is_restored_in_a_narrow_dark_window(chromium: Browser, written: Path) -> None:
    view = "#theme=dark&removed=L0H1,L0H1->L1H2.k&method=zero&step=0&text=def%20f(x)%3A&at=2&source=noise&tint=L1H1"
    page = chromium.open(f"file://{written}{view}", width=400)
    assert page.run("document.documentElement.dataset.theme") == "dark" and page.run(OVER) == 0
    assert text(page, "#readout").startswith("step 0,") and "→" in page.run(SUMMARY)
    assert page.run("document.querySelectorAll('.token')[2].classList.contains('chosen')")
    assert page.run("[...document.querySelectorAll('#map-body select')].map((one) => one.value)") == ["noise", "L1H1"]
    strange = "#removed=L9H9,nonsense&step=12345&weights=3&look=L7H7&pins=L5H5&tint=x&probe=999999&at=99&source=z"
    other = chromium.open(f"file://{written}{strange}", width=400)
    assert "→" not in other.run(SUMMARY) and not text(other, "#readout").startswith("step 0,")
    assert [*page.complaints(), *other.complaints()] == []


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1280, "dark"), (3840, "light")])
def test_nothing_is_cut_off_and_colours_follow_the_system(
    chromium: Browser, written: Path, width: int, scheme: str
) -> None:
    page = chromium.open(f"file://{written}#chosen=L1H2", width=width, prefers_color_scheme=scheme)
    assert page.run(OVER) == 0 and page.run("document.documentElement.dataset.theme") == scheme
    assert page.run("document.documentElement.scrollWidth") <= width
    light = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light == (scheme == "light") and page.complaints() == []


def test_a_request_and_an_error_would_be_seen(chromium: Browser, written: Path, tmp_path: Path) -> None:
    """The negative control."""
    whole, path = written.read_text(), tmp_path / "fetching.html"
    path.write_text(whole.replace("<main>", '<main><img src="https://example.invalid/a.png">', 1))
    assert any("example.invalid" in words for words in chromium.open(f"file://{path}").complaints())
    open_policy = re.sub(r"img-src [^\"]*", "img-src *", path.read_text(), count=1)
    path.write_text(open_policy.replace("scrubber(data, state);", "scrubber(data, state); null.x;", 1))
    page = chromium.open(f"file://{path}")
    assert page.requests() == ["https://example.invalid/a.png"]
    assert any("TypeError" in words for words in page.complaints())
