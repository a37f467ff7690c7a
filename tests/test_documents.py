"""What the documents show is true of the code: Python blocks run, command lines parse, links lead somewhere.

    python -m tests.test_documents      writes the reference of docs/cli.md anew from the parsers

Blocks of a page run in order, in one namespace and one empty folder. Indented blocks are shell.

    <!-- run -->                        before a shell block: it is executed, not just parsed
    <!-- not run: the reason -->        before a Python block: it is only compiled, and stands in `NOT_RUN`
"""

import argparse
import importlib.util
import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from ablations.changes import parse_change
from ablations.names import parse_head
from experiments import __main__ as command_line
from experiments import figures, runs, settings, tasks
from experiments.measurements.rllc import RLLC
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import presets
from tests.experiments.conftest import command

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
# Python blocks that are not executed, by page and reason
NOT_RUN = {("docs/sweeps.md", "needs a SLURM cluster")}
# pages whose blocks take over 20 seconds, most of it for building the bundled text
SLOW = {
    "README.md",
    "docs/calibrate.md",
    "docs/estimator.md",
    "docs/guide/devinterp.md",
    "docs/guide/experiments.md",
    "docs/guide/induction-heads.md",
    "docs/guide/llc.md",
    "docs/guide/notebooks.md",
    "docs/sweeps.md",
}
# programs that documents call, other than ours, pip, and benchmarks
OTHERS = (
    "python -m tests.both_majors",
    "python3 -m venv",
    "python -m pytest",
    "python -m tests.test_documents",
    ".ci/run",
    "dask scheduler",
)
OTHERS += ("dask worker", "ruff check", "ruff format", "mypy", "mkdocs build", "mkdocs serve", "pre-commit install")
OTHERS += ("deno fmt", "deno lint", "deno check")
BEGIN, END = "<!-- from the parsers: begin -->", "<!-- from the parsers: end -->"

_COMMENT = re.compile(r"<!--\s*(.*?)\s*-->")
_INLINE = re.compile(r"`((?:python -m experiments|devcircuits) [^`]+|python benchmarks/[^`]+)`")
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(#[^)\s]*)?\)")


@dataclass(frozen=True)
class Block:
    """A piece of code in a page, with the comment that stands before it."""

    line: int
    language: str
    code: str
    comment: str = ""

    @property
    def not_run(self) -> str:
        return self.comment.removeprefix("not run:").strip() if self.comment.startswith("not run:") else ""


def blocks(text: str) -> list[Block]:
    """Fenced blocks by their language; indented ones, which are shell."""
    found, lines, number, comment = [], text.split("\n"), 0, ""
    while number < len(lines):
        line, start = lines[number], number + 1
        if fence := re.match(r"(`{3,})(\w*)", line):
            number += 1
            while number < len(lines) and not lines[number].startswith(fence[1]):
                number += 1
            found.append(Block(start + 1, fence[2], "\n".join(lines[start:number]), comment))
            comment = ""
        elif line.startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            while number < len(lines) and lines[number].startswith("    "):
                number += 1
            code = "\n".join(one.removeprefix("    ") for one in lines[start - 1 : number])
            found.append(Block(start, "shell", code, comment))
            comment, number = "", number - 1
        elif remark := _COMMENT.fullmatch(line.strip()):
            comment = remark[1]
        elif line.strip():
            comment = ""
        number += 1
    return found


def commands(shell: str) -> Iterator[list[str]]:
    """The programs of a shell block with their arguments, as they would be called in the activated environment."""
    for line in shell.replace("\\\n", " ").split("\n"):
        words = shlex.split(line, comments=True)
        while words:
            end = next((place for place, word in enumerate(words) if word in ("&&", "&", "|")), len(words))
            one, words = words[:end], words[end + 1 :]
            while one and re.fullmatch(r"[A-Z_]+=\S*", one[0]):
                one = one[1:]
            if one:
                yield [re.sub(r"^\.venv[\w-]*/bin/", "", one[0]), *one[1:]]


def parser(verb: str) -> argparse.ArgumentParser:
    """What the command line reads the arguments of a verb with."""
    module = import_module(f"experiments.cli.{verb}")
    found = argparse.ArgumentParser(prog=f"devcircuits {verb}", description=module.HELP)
    module.add_arguments(found)
    return found


def check_command(words: list[str]) -> None:
    """Raises ValueError for a command line that would be refused, as far as that can be told without running it."""
    shown = shlex.join(words)
    if (verb := of_verb(words)) is not None:
        check_verb(verb)
    elif words[:1] == ["python"] and words[1].startswith("benchmarks/"):
        if not (ROOT / words[1]).is_file():
            raise ValueError(f"{shown}: there is no such benchmark")
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for group in re.findall(r"\.\[([\w,]+)\]", shown):
            if missing := set(group.split(",")) - set(extras):
                raise ValueError(f"{shown}: there is no extra {missing}")
    elif not any(words[: len(other.split())] == other.split() for other in OTHERS):
        raise ValueError(f"{shown}: a program that documents do not call so far; add it to OTHERS if it is right")


def of_verb(words: list[str]) -> list[str] | None:
    """The arguments of our own command line, by either of its names; None for another program."""
    for start in (["devcircuits"], ["python", "-m", "experiments"]):
        if words[: len(start)] == start:
            return words[len(start) :]
    return None


def check_verb(arguments: list[str]) -> None:
    """Raises ValueError for a verb, a flag or a name that the command line does not have."""
    shown = f"devcircuits {shlex.join(arguments)}"
    if arguments in (["--version"], ["--help"]) or arguments[:1] == ["--print-completion"]:
        return
    if not arguments or arguments[0] not in command_line.VERBS:
        raise ValueError(f"{shown}: there is no such verb")
    try:
        parsed = vars(parser(arguments[0]).parse_args(arguments[1:]))
    except SystemExit:
        raise ValueError(f"{shown}: refused by the parser, see above") from None
    if arguments[0] == "figure":
        figures.get(parsed["name"])
    if arguments[0] == "setting" and parsed["name"] not in (None, "NAME", "rllcs"):  # stand-ins for any
        settings.check(parsed["name"])
    if "preset" in parsed:
        presets.get(parsed["preset"])
    if "task" in parsed and parsed["task"] not in tasks.TASKS and not parsed["task"].startswith(tasks.FILE):
        raise ValueError(f"{shown}: there is no such task")
    for text in [parsed["what"]] if isinstance(parsed.get("what"), str) else parsed.get("what", []):
        parse_change(text)
    for text in [*parsed.get("heads", []), *([parsed["head"]] if "head" in parsed else [])]:
        parse_head(text)


def inline(text: str) -> Iterator[list[str]]:
    """Commands in running text; names in capitals stand for something, and are filled in."""
    fenceless = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    stand_in = {"HEAD": "L1H4", "NAME": "rllcs", "TASK": "induction", "PATH": "L0H5->L1H4.k", "RUN": "mini-seed0"}
    for found in _INLINE.findall(fenceless):
        words = [stand_in.get(word, word) for word in shlex.split(found.replace("\n", " "))]
        if "VERB" not in words:
            yield words


def run_page(page: Path) -> None:
    """Executes the page's blocks where the process is; an error names the page and the line."""
    namespace: dict = {"__name__": "__page__"}
    for block in blocks(page.read_text()):
        if block.language == "python":
            padding = "\n" * (block.line - 1)
            code = compile(padding + block.code, str(page), "exec")
            if not block.not_run:
                exec(code, namespace)
        elif block.language == "shell" and block.comment == "run":
            for words in commands(block.code):
                verb = of_verb(words)
                assert verb is not None, f"{page}, line {block.line}: not a verb of ours"
                process = command(*verb, cwd=Path.cwd())
                out, err = process.communicate(timeout=500)
                assert process.returncode == 0, f"{page}, line {block.line}: {shlex.join(words)}\n{out}{err}"


def a_sweep_has_begun() -> None:
    """One head of the bundled run is sampled, where docs/sweeps.md reads what there is by now."""
    run = runs.open_run("mini-seed0")
    cells = Cells(Path("results/mini-seed0"), run, default_plan("python", 256))
    cells.get(RLLC, run.steps[-1], restriction="L1H4")


# what a page says has been done before
PRESUPPOSED = {"docs/sweeps.md": (a_sweep_has_begun,)}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_python(page: Path) -> bool:
    return any(block.language == "python" for block in blocks(page.read_text()))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name(page), marks=[pytest.mark.slow] if name(page) in SLOW else [])
        for page in PAGES
        if with_python(page)
    ],
)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for presupposed in PRESUPPOSED.get(name(page), ()):
        presupposed()
    run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_command_lines_are_those_of_the_parsers(page: Path) -> None:
    text = page.read_text()
    for block in blocks(text):
        if block.language in ("shell", "sh", "bash"):
            for words in commands(block.code):
                check_command(words)
    for words in inline(text):
        check_command(words)


def test_blocks_that_are_left_out_are_known() -> None:
    left_out = {(name(page), block.not_run) for page in PAGES for block in blocks(page.read_text()) if block.not_run}
    assert left_out == NOT_RUN
    assert {name(page) for page in PAGES} >= SLOW


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "experiments/zoo/README.md"], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def broken_links(page: Path) -> list[str]:
    """Relative links to files that are not there; models, contributing and changelog are pages of the built site."""
    made = {path.name for path in (ROOT / "docs").glob("*.md")} | set(hooks().PAGES)
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [
        target
        for target, _ in _LINK.findall(text)
        if target and not (page.parent / target).exists() and Path(target).name not in made
    ]


def hooks() -> ModuleType:
    """docs/hooks.py, which is no package."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_that_is_wrong_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of all of the above."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```python\nvalue = 1\n```\n\n```python\nassert value == 2\n```\n")
    with pytest.raises(AssertionError):
        run_page(page)
    page.write_text("<!-- not run: needs patience -->\n\n```python\nraise SystemExit\n```\n")
    run_page(page)
    (block,) = blocks(page.read_text())
    assert (block.not_run, block.line) == ("needs patience", 4)
    page.write_text("<!-- run -->\n\n    python -m experiments status nowhere\n")
    with pytest.raises(AssertionError, match="line 3"):
        run_page(page)
    page.write_text("see [this](nowhere.md)")
    assert broken_links(page) == ["nowhere.md"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("python -m experiments figures", "no such verb"),
        ("devcircuits figures", "no such verb"),
        ("devcircuits open --no-such-flag", "refused by the parser"),
        ("python -m experiments reproduce --no-such-flag", "refused by the parser"),
        ("python -m experiments figure no-such-figure", "unknown figure"),
        ("devcircuits setting no-such-setting", "unknown setting"),
        ("python -m experiments circuit --task no-such-task", "no such task"),
        ("python -m experiments train --preset no-such-preset", "unknown preset"),
        ("python -m experiments ablate 'L0H5-L1H4.k'", "L0H5-L1H4.k"),
        ("OMP_NUM_THREADS=1 .venv/bin/python -m experiments sweep --no-such-flag &", "refused by the parser"),
        ("python benchmarks/no_such_benchmark.py", "no such benchmark"),
        ('.venv/bin/pip install -e ".[nothing]" && .venv/bin/python -m pytest', "no extra"),
        ("some-other-program", "documents do not call"),
    ],
)
def test_a_command_line_that_went_stale_is_seen(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        for words in commands(line):
            check_command(words)


def test_a_site_that_loads_from_elsewhere_is_seen() -> None:
    foreign = hooks().foreign
    assert foreign('<a href="https://example.org">a link is no request</a> <img src="images/a.png">') == []
    for loads in (
        '<script async src="https://example.org/a.js">',
        "<link rel=stylesheet href=//example.org/a.css>",
        '<img alt="" src="http://example.org/a.png">',
        "@font-face { src: url(https://example.org/a.woff2) }",
        '@import "https://example.org/a.css";',
    ):
        assert foreign(loads), loads


def test_notebooks_are_pages_with_all_of_their_text_and_code() -> None:
    for path in hooks().NOTEBOOKS:
        page, cells = hooks().notebook_page(path), json.loads(path.read_text())["cells"]
        assert page.startswith("# ") and f"]({path.name})" in page.splitlines()[2]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        assert [block.code for block in blocks(page) if block.language == "python"] == code
        words = " ".join(page.split())
        assert all(" ".join("".join(cell["source"]).partition("\n")[2].split()) in words for cell in cells)
        assert f"notebooks/{path.stem}.md" in (ROOT / "mkdocs.yml").read_text()


def test_every_figure_is_explained_by_its_own_caption() -> None:
    text = (ROOT / "docs/figures.md").read_text()
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL))
    for figure in (*figures.FIGURES, *figures.MORE):
        quoted = " ".join(re.findall(r"^> (.*)$", sections[figure], flags=re.MULTILINE))
        assert quoted == figures.get(figure).CAPTION, figure
        assert f"devcircuits figure {figure}" in sections[figure]


def test_every_module_of_the_lower_packages_has_its_documentation() -> None:
    """Those that are not meant to be called are named as such on the page."""
    for package in ("llc", "ablations", "circuits"):
        text = (ROOT / f"docs/api/{package}.md").read_text()
        files = {path.relative_to(ROOT / package).with_suffix("") for path in (ROOT / package).rglob("*.py")}
        faces = {path.parent for path in files if path.name == "__init__" and path.parent.name}
        modules = {".".join(path.parts) for path in (files | faces) if not path.name.startswith("_")}
        assert modules == {module for module in modules if re.search(rf"\b{re.escape(module)}\b", text)}
        assert set(re.findall(rf"^::: {package}\.([\w.]+)$", text, flags=re.MULTILINE)) <= modules


def test_the_reference_of_the_command_line_is_that_of_the_parsers() -> None:
    assert (ROOT / "docs/cli.md").read_text() == with_reference((ROOT / "docs/cli.md").read_text()), (
        "run: python -m tests.test_documents"
    )


def with_reference(page: str) -> str:
    """The page with its reference made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{rest.partition(END)[2]}"


def reference() -> str:
    """Every verb with its arguments. What depends on the machine (its number of cores) is left out."""
    return "\n".join(_verb(verb) for verb in command_line.VERBS)


def _verb(verb: str) -> str:
    found = parser(verb)
    lines = [f"### {verb}", "", f"{found.description[:1].upper()}{found.description[1:]}.", ""]
    actions = [action for action in found._actions if not isinstance(action, argparse._HelpAction)]
    lines += ["| argument | meaning |", "|---|---|"] * bool(actions)
    for action in actions:
        values = dict(vars(action), prog=found.prog)
        text = (action.help or "").replace(", %(default)s", "") if action.dest == "workers" else action.help or ""
        meaning = (text % values).replace("|", "\\|")
        if action.choices:
            meaning += f"; one of {', '.join(f'`{choice}`' for choice in action.choices)}"
        repeated = " ..." if action.nargs in ("+", "*") else ""
        shown = (action.option_strings or [""])[0]
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        lines.append(f"| `{' '.join(part for part in (shown, value) if part)}{repeated}` | {meaning} |")
    return "\n".join([*lines, ""])


def test_the_citation_is_whole() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["title"]
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    for paper in citation["references"]:
        number = paper["identifiers"][0]["value"].removeprefix("arXiv:")
        assert paper["title"] in (ROOT / "docs/cite.md").read_text() and number in (ROOT / "docs/cite.md").read_text()
    assert (ROOT / ".ci/run").is_file() and os.access(ROOT / ".ci/run", os.X_OK)


if __name__ == "__main__":
    page = ROOT / "docs/cli.md"
    page.write_text(with_reference(page.read_text()))
    sys.exit(0)
