"""The command line as it is met first: help by groups, version, tab completion; and `open`, the page of results."""

import subprocess
import sys
import tomllib
import webbrowser
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.__main__ import GROUPS, VERBS, main
from experiments.pages import index_page
from experiments.pages.layout import page as layout
from experiments.runs import places
from tests.experiments.cli.test_refusals import told
from tests.experiments.conftest import ROOT
from tests.experiments.pages.page_checks import faults

NO_VERBS = {"__init__", "arguments", "opening"}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, object]:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    captured = capsys.readouterr()
    return captured.out + captured.err, ended.value.code


def test_help_lists_every_verb_once_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    shown, code = printed(capsys, "--help")
    assert code == 0 and shown.startswith("usage: devcircuits ")
    assert set(VERBS) == {path.stem for path in (ROOT / "experiments/cli").glob("*.py")} - NO_VERBS
    lines = shown.splitlines()
    for title, verbs in GROUPS.items():
        at = lines.index(f"{title}:")
        group = lines[at : lines.index("", at)]
        assert [line.split()[0] for line in group if line.startswith("  ") and line[2] != " "] == list(verbs)
    examples = shown.partition("example:\n")[2].strip().splitlines()
    assert len(examples) == 2 and all(line.split()[0] == "devcircuits" for line in examples)
    assert all(line.split()[1] in VERBS for line in examples)


def test_help_of_verbs_and_version_say_the_name_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        shown, code = printed(capsys, verb, "--help")
        assert code == 0 and shown.startswith(f"usage: devcircuits {verb} ")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert printed(capsys, "--version") == (f"devcircuits {version}\n", 0)
    assert main(["no-such-verb"]) == 2
    assert "no verb 'no-such-verb'" in capsys.readouterr().err


def test_help_and_open_load_nothing_heavy(tmp_path: Path) -> None:
    for arguments in (["--help"], ["open", "--no-browser"]):
        _, code, _, loaded = told(*arguments, cwd=tmp_path)
        assert (code, loaded) == ("0", [])


def test_tab_completion_knows_verbs_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    script, code = printed(capsys, "--print-completion", "bash")
    assert code == 0 and f"subparsers=({' '.join(VERBS)})" in script and "--no-browser" in script
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_tab_completion_without_shtab_says_what_it_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    shown = printed(capsys, "--print-completion", "zsh")
    assert shown == ("error: tab completion needs shtab: pip install shtab\n", 2)


class Links(HTMLParser):
    """The addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Addresses that a browser was asked to open, in an empty project."""
    monkeypatch.chdir(tmp_path)
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_open_links_all_that_is_there(opened: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    results = Path("results/mini-seed0")
    files = (
        "report.html",
        "heads/L1H4.html",
        "heads/L0H5.html",
        "circuit_induction_28000.html",
        "prompts/p #1.html",
        "rllc_L0.html",
    )
    files += ("figures/types_28000.svg", "figures/rllcs.svg", "../claims/report.html", "affected_L1H4.html")
    for file in (*files, "heads/notes.txt"):
        (results / file).parent.mkdir(parents=True, exist_ok=True)
        (results / file).touch()
    assert main(["open"]) == 0
    assert capsys.readouterr().out == f"{results / 'index.html'}\n"
    assert opened == [(Path.cwd() / results / "index.html").as_uri()]
    page = (results / "index.html").read_text()
    links = [unquote(link) for link in Links(page).found]
    assert sorted(links) == sorted(files), "each once, the text file not at all"
    assert all((results / link).is_file() for link in links)
    assert "devcircuits reproduce" not in page, "what is there needs no command"
    assert faults(page, results) == []


def test_open_says_how_to_make_what_is_missing_and_is_brought_up_to_date(opened: list[str]) -> None:
    assert main(["open", "mini-seed1"]) == 0
    page = Path("results/mini-seed1/index.html")
    first = page.read_text()
    assert "<code>inv.rllc(" in first
    assert Links(first).found == [] and "<code>devcircuits reproduce --run mini-seed1</code>" in first
    before = page.stat().st_mtime_ns
    assert main(["open", "mini-seed1", "--no-browser"]) == 0
    assert page.stat().st_mtime_ns == before and len(opened) == 1, "nothing new: not written, and not opened"
    (page.parent / "report.html").touch()
    assert main(["open", "mini-seed1", "--no-browser"]) == 0
    assert Links(page.read_text()).found == ["report.html"]


def test_open_takes_a_folder_a_name_and_out(opened: list[str], tmp_path: Path, capsys) -> None:
    run = places.folder_of("mini-seed2")
    held = {path.name for path in run.iterdir()}
    assert main(["open", str(run)]) == 0
    assert {path.name for path in run.iterdir()} == held, "never into the run's own folder"
    assert Path("results/mini-seed2/index.html").is_file()
    Path("results/of-a-run-that-is-gone").mkdir()
    assert main(["open", "of-a-run-that-is-gone"]) == 0
    assert main(["open", "--out", str(tmp_path / "elsewhere")]) == 2
    (tmp_path / "elsewhere").mkdir()
    assert main(["open", "--out", str(tmp_path / "elsewhere")]) == 0
    page = (tmp_path / "elsewhere/index.html").read_text()
    assert "Results of mini-seed0" in page and f"types --run mini-seed0 --out {tmp_path / 'elsewhere'}</code>" in page
    capsys.readouterr()
    assert main(["open", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: no run 'nowhere'") and said.count("\n") == 1 and len(opened) == 3


def test_files_are_sorted_as_one_counts_and_names_are_escaped(tmp_path: Path) -> None:
    for name in ("circuit_a_4800", "circuit_a_800", "circuit_<b>_1"):
        (tmp_path / f"{name}.html").touch()
    page = layout.document(index_page.page(tmp_path, "a & b", "--run 'a & b'"))
    assert "Results of a &amp; b" in page and "types --run &#39;a &amp; b&#39;</code>" in page
    assert page.index(">circuit_a_800<") < page.index(">circuit_a_4800<") and "<b>" not in page
