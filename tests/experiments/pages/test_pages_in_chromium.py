"""Pages in a real browser: no wider than a telephone, in colours that follow the system and can be read; no request."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from benchmarks import browser
from benchmarks.browser import Browser
from experiments.heldout.affected_tokens import Context
from experiments.investigate.attention_grid import TextAttention, grid
from experiments.investigate.prompts import token_table
from experiments.pages import affected_page
from experiments.pages.layout import elements, kind_bar, pictures
from experiments.pages.layout import page as layout
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Made, Page, Section
from experiments.pages.layout.run_links import Group, Link
from experiments.plots import style
from tests.experiments.explorer.programs import needs_chromium

pytestmark = needs_chromium

LONG = "a_name_without_any_place_to_break_it_" * 6
OVER = """[...document.querySelectorAll("body *")].filter((part) => !part.closest(".scroll, .box, .long")
  && part.getBoundingClientRect().right > innerWidth + 1).map((part) => part.outerHTML.slice(0, 90))"""
# Text whose contrast with what is behind it is below that of WCAG 2.2, 1.4.3 (4.5 to 1), where both are opaque.
FAINT = """(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = channels(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
      if (colour[3] > 0) return null;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter((node) => {
    const ground = behind(node);
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !ground || node.closest("figure svg") || node.offsetParent === null) return false;
    const [one, other] = [light(channels(getComputedStyle(node).color)), light(ground)].sort((a, b) => a - b);
    return (other + 0.05) / (one + 0.05) < 4.5;
  }).map((node) => node.outerHTML.slice(0, 90));
})()"""


def wide() -> Markup:
    """One of everything that pages are made of, as wide as it gets."""
    figure = style.new_figure(18.0, 4.0)
    figure.subplots(1, 3)
    words = ["token"] * 30
    numbers = {"effect": 1.0, "effect_se": 0.1, "chosen_by": 1.0, "p_clean": 0.5, "p_changed": 0.1}
    places = {"donors": 8, "document": 1, "position": 2, "row": 3, "pos": 4}
    predicted = {"predicted_clean": [(LONG, 0.5)], "predicted_changed": [("b", 0.5)]}
    text = {"before": words, "after": [LONG], "attention": [0.5] * 30, "target": LONG}
    context = Context(**numbers, **places, **predicted, **text)  # type: ignore[arg-type]
    attention = TextAttention("L1H2", words, words, np.eye(30), np.ones(30) * 0.1, np.linspace(-1, 1, 30), LONG)
    line = [token_table.word_cell(LONG), *(token_table.number_cell(value, 1.0, "L1H2") for value in np.eye(40)[0])]
    pieces = kind_bar.pieces(["induction", "none"], np.array([0.5, 0.5]))
    verdicts = ("replicated", "contradicted", "absent", "inconclusive", "not testable")
    return elements.joined(
        elements.table([f"column {number}" for number in range(30)], [["1.234 ± 0.567"] * 30] * 3),
        elements.captioned(pictures.image(figure, "three empty axes"), LONG),
        affected_page.hits([context]),
        grid(attention),
        token_table.text_line(words, [1.0] * 30, words),
        token_table.table([f"L{number}H0" for number in range(41)], [line], "effects"),
        macros("kinds").bars({LONG: pieces}, kind_bar.key(["induction", "none"])),
        macros("head").side([elements.table(["", "k"], [[LONG, "1"]])], elements.paragraph(elements.code(LONG))),
        *(macros("claims").verdict(verdict) for verdict in verdicts),
        macros("claims").claim({"Finding": LONG}, Markup(), "command", LONG),
        elements.folded(LONG, elements.quiet(LONG)),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    links = [Link(f"{LONG}{number}", f"{number}.html", number == 1) for number in range(4)]
    page = Page(LONG, LONG, [Section(LONG, wide())] * 3, Made(LONG, LONG), elements.noted("Note", LONG), "induction")
    path = tmp_path_factory.mktemp("pages") / "wide.html"
    path.write_text(
        layout.document(page, [Group("Report", links[:1]), Group("Types", links[1:2]), Group("Heads", links)])
    )
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.running(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1280, "light"), (1280, "dark")])
def test_nothing_is_cut_off_and_all_can_be_read(chromium: Browser, written: Path, width: int, scheme: str) -> None:
    page = chromium.open(f"file://{written}", width=width, prefers_color_scheme=scheme)
    page.run("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    page.settle()
    assert page.run(OVER) == [] and page.run("document.documentElement.scrollWidth") <= width
    assert page.run(FAINT) == []
    light = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light == (scheme == "light")
    assert page.complaints() == [] and page.requests() == []


def test_what_is_cut_off_or_faint_or_asked_for_would_be_seen(chromium: Browser, written: Path, tmp_path: Path) -> None:
    """The negative control."""
    path = tmp_path / "broken.html"
    path.write_text(
        written.read_text()
        .replace("--quiet: #555", "--quiet: #999", 1)
        .replace("<main>", '<main><div style="width:600px">x</div><img alt="x" src="https://example.invalid/a.png">', 1)
    )
    page = chromium.open(f"file://{path}", width=400, prefers_color_scheme="light")
    assert len(page.run(OVER)) >= 1 and page.run("document.documentElement.scrollWidth") > 400
    assert any("quiet" in part for part in page.run(FAINT)) and page.requests() == ["https://example.invalid/a.png"]


def test_on_paper_it_is_dark_on_white_without_links_to_pages(chromium: Browser, written: Path) -> None:
    page = chromium.open(f"file://{written}", width=700, prefers_color_scheme="dark")
    shown = "getComputedStyle(document.querySelector('.pages')).display"
    colour = "getComputedStyle(document.querySelector('h1')).color"
    assert page.run(shown) == "flex" and page.run(colour) != "rgb(0, 0, 0)"
    page.call("Emulation.setEmulatedMedia", media="print")
    page.settle()
    assert page.run(shown) == "none" and page.run(colour) == "rgb(0, 0, 0)"
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
