"""One template makes all pages: well-formed, escaped, self-contained, with contents and links that lead somewhere."""

import ast
import re
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from experiments.pages.layout import elements, run_links
from experiments.pages.layout import page as layout
from experiments.pages.layout.environment import FOLDER, environment, macros, style
from experiments.pages.layout.page import Made, Page, Section
from tests.experiments.conftest import ROOT
from tests.experiments.pages.page_checks import content, faults

HOSTILE = "<script>alert('x')</script> & <b>"


def page(text: str = "plain") -> Page:
    """A page that says the text wherever a page can say something."""
    body = elements.joined(
        elements.table(["", text], [[text, elements.strong(text)]]),
        elements.captioned(Markup('<img alt="x" src="data:,">'), text),
        elements.folded(text, elements.quiet(text)),
        elements.not_measured(text),
        elements.noted("Note", text),
        elements.paragraph("see " + elements.code(text)),
    )
    sections = [Section(text, body), Section(text, Markup()), Section(text, Markup())]
    return Page(text, text, sections, Made(text, text), elements.quiet(text), text, text)


def test_a_page_is_well_formed_and_needs_nothing_else() -> None:
    shown = layout.document(page())
    assert faults(shown) == []
    assert shown.count("<title>plain</title>") == 1 and "prefers-color-scheme: dark" in shown


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("</main>", "", "</div> closes <main>"),
        ('id="plain-2"', 'id="plain"', "id plain twice"),
        ('src="data:,"', 'src="https://a.example/b.png"', "https://a.example/b.png is outside"),
        ('href="#plain-3"', 'href="#nowhere"', "#nowhere leads nowhere"),
        ('alt="x"', 'alt=""', "an image without alt text"),
        ("<h1>", "<h3>", "<h3> below h0"),
        ("<main>", "<main><script></script>", "<script>"),
        ("<main>", '<main><a href="other.html"></a>', "other.html is not there"),
        ("<main>", '<main onclick="x()">', "onclick= in <main>"),
        (' lang="en"', "", "no language"),
    ],
)
def test_the_check_finds_what_is_wrong(before: str, after: str, found: str) -> None:
    shown = layout.document(page())
    assert before in shown and found in faults(shown.replace(before, after))


def test_text_is_escaped_wherever_it_stands() -> None:
    for shown in (layout.document(page(HOSTILE)), layout.cell(page(HOSTILE))):
        assert "<script" not in shown and shown.count("&lt;script&gt;") >= 15
    assert faults(layout.document(page(HOSTILE))) == []
    control = page()._replace(lead=Markup("<p><script></script></p>"))
    assert "<script>" in faults(layout.document(control)), "what is Markup stands as it is"


def test_names_of_runs_and_files_are_escaped(tmp_path: Path) -> None:
    name = "<script>alert(1)&.html"  # a file's name
    (tmp_path / "heads").mkdir()
    for file in ("report.html", f"heads/{name}", "index.html", "types.html"):
        (tmp_path / file).touch()
    shown = layout.document(page(), run_links.between(tmp_path, tmp_path / "types.html"))
    assert faults(shown, tmp_path) == []
    assert "<script" not in shown and "%3Cscript%3E" in shown


def test_contents_lead_to_sections_with_ids_of_their_own() -> None:
    three = layout.document(page("A title: of words"))
    assert re.findall(r'<h2 id="([^"]*)"', three) == ["a-title-of-words", "a-title-of-words-2", "a-title-of-words-3"]
    assert re.findall(r'<li><a href="#([^"]*)"', three) == re.findall(r'<h2 id="([^"]*)"', three)
    two = layout.document(page()._replace(sections=page().sections[:2]))
    assert "Contents" not in two and two.count("<h2 id=") == 2
    own = layout.document(page()._replace(sections=[Section("3. Simplicity", Markup(), id="claim3")]))
    assert 'id="claim3"' in own


def test_a_cell_of_a_notebook_says_the_same_and_touches_no_other() -> None:
    cell, whole = layout.cell(page()), layout.document(page())
    assert content(cell) == content(whole) and content(cell) != content(layout.document(page("other")))
    assert " id=" not in cell and "<nav" not in cell and "<html" not in cell
    rules = re.sub(r"/\*.*?\*/", "", str(style()), flags=re.DOTALL).strip()
    assert rules.startswith(".devcircuits-card {") and rules.endswith("}")
    depths = [rules[: at + 1].count("{") - rules[: at + 1].count("}") for at in range(len(rules) - 1)]
    assert min(depths[len(".devcircuits-card {") :]) == 1, "every rule stands inside the one class"


def test_every_class_that_templates_use_has_a_rule() -> None:
    used = {
        name
        for file in FOLDER.glob("*.html")
        for names in re.findall(r'class="?([a-z][a-z -]*)', file.read_text())
        for name in names.split()
    }
    known = set(re.findall(r"\.([a-z][a-z-]*)", str(style())))
    assert used and used - known == set(), used - known


def test_figures_are_turned_round_in_the_dark_alone_and_what_scrolls_shows_it() -> None:
    rules = re.sub(r"/\*.*?\*/", "", str(style()), flags=re.DOTALL)
    light, rest = rules.split("@media (prefers-color-scheme: dark)", 1)
    dark, rest = rest.split("}", 1)
    in_print = rest.split("@media print", 1)[1]
    assert "--figures: none" in light and "--figures: none" in in_print
    assert "--figures: invert(" in dark and "hue-rotate(180deg)" in dark, "lightness is turned, hues stay"
    assert re.search(r"& \.picture \{[^}]*filter: var\(--figures\)", rest), "of every picture"
    shadows = re.search(r"& \.scroll, & \.box \{([^}]*)\}", rest)
    assert shadows and shadows[1].count("var(--more)") == 2 and shadows[1].count(" local") == 2
    assert "--more:" in light and "--more:" in dark


def test_what_cannot_be_measured_is_said_in_its_place() -> None:
    def cannot() -> Markup:
        raise NotMeasurable("use <more> text.")

    assert layout.section("title", cannot).body == "<p>Not measured: use &lt;more&gt; text.</p>"
    with pytest.raises(ZeroDivisionError):
        layout.section("title", lambda: Markup(1 / 0))


def test_a_value_that_is_not_given_is_an_error() -> None:
    assert macros("claims").see("3").endswith("</p>")
    with pytest.raises(jinja2.UndefinedError):
        environment().from_string("{{ nothing }}").render()


def calls_of_macros(source: str) -> set[tuple[str, str, int]]:
    """Template, macro and number of arguments of every `macros("template").macro(...)`; -1 where some are unpacked."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Call)
        ):
            inner = node.func.value
            if (
                isinstance(inner.func, ast.Name)
                and inner.func.id == "macros"
                and isinstance(inner.args[0], ast.Constant)
            ):
                unpacked = any(isinstance(argument, ast.Starred) for argument in node.args)
                found.add((str(inner.args[0].value), node.func.attr, -1 if unpacked else len(node.args)))
    return found


def test_every_macro_that_is_called_is_there_and_gets_all_that_it_asks_for() -> None:
    sources = [file.read_text() for file in (ROOT / "experiments").rglob("*.py")]
    called = set().union(*map(calls_of_macros, sources))
    assert len(called) >= 20 and ("claims", "see", 1) in called
    for template, name, count in sorted(called):
        macro = getattr(macros(template), name)
        assert count in (-1, len(macro.arguments)), (template, name)
    assert calls_of_macros('macros("a").b(1, 2)\nmacros("a").b(*c)') == {("a", "b", 2), ("a", "b", -1)}


def test_pages_of_a_run_link_to_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "results/a run"
    files = ("report.html", "types.html", "heads/L1H4.html", "heads/L0H5.html", "circuit_induction_60.html")
    for file in (*files, "../claims/report.html", "index.html", "explore.html", "figures/types_60.svg"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    for file in files:
        groups = run_links.between(folder, folder / file)
        links = [link for group in groups for link in group.links]
        assert [link.address for link in links if link.here] == [Path(file).name]
        plain = [link.address.replace("%20", " ").partition("#")[0] for link in links]
        reached = {((folder / file).parent / address).resolve() for address in plain}
        assert reached == {
            (folder / other).resolve() for other in (*files, "index.html", "explore.html", "../claims/report.html")
        }
        assert faults(layout.document(page(), groups), (folder / file).parent) == []
    views = {file: _to_explorer(folder, file) for file in ("heads/L1H4.html", "heads/L0H5_400.html", "report.html")}
    assert views == {
        "heads/L1H4.html": "../explore.html#chosen=L1H4&pins=L1H4",
        "heads/L0H5_400.html": "../explore.html#chosen=L0H5&pins=L0H5",
        "report.html": "explore.html",
    }
    assert run_links.between(folder, tmp_path / "elsewhere.html") == []
    new = run_links.between(folder, folder / "rllc_L0.html")
    assert [group.title for group in new if any(link.here for link in group.links)] == ["Curves"]


def _to_explorer(folder: Path, file: str) -> str:
    """The address of the explorer on a page."""
    (link,) = (group.links[0] for group in run_links.between(folder, folder / file) if group.title == "Explorer")
    return link.address


def test_there_is_no_other_way_to_make_a_page() -> None:
    """HTML stands in templates, and in the few elements that all pages share; the explorer's page is its own."""
    tags = re.compile(
        r"""["'](?:[^"'\n]*[^"'\n\w])?<(?:!doctype|html|style|h[1-6]|p|div|table|tr|td|span|figure)\b""", re.I
    )
    own = {"experiments/pages/layout/elements.py"}
    found = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "experiments").rglob("*.py")
        if tags.search(file.read_text())
    }
    assert found - own == set()
    assert tags.search('x = f"<p class=quiet>{text}</p>"') and found == own, "the control"
