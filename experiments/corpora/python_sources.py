"""Real text that is on every machine: the Python sources of installed distributions, as code and as prose.

Code is a file without its docstrings and comments; prose is its docstrings. Test suites are left out, and copies are
dropped: files and docstrings with the same content, and functions whose syntax trees are the same once names and
constants are erased.
"""

import ast
import hashlib
import inspect
import re
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

DISTRIBUTIONS = ("torch", "numpy", "scipy", "sympy", "networkx", "pandas", "scikit-learn", "transformers")
HELD_OUT_SHARE = 0.1
LARGEST_FILE = 1_000_000  # bytes; above it stand generated tables
SMALLEST_COPY = 40  # syntax-tree nodes; smaller functions are alike by chance

# A string literal (kept) or a comment (dropped). Triple quotes come first, so that a # inside a string is no comment.
_STRING_OR_COMMENT = re.compile(
    r'("""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|\#[^\n]*',
    re.DOTALL,
)


class Document(NamedTuple):
    """One document of a corpus."""

    kind: str  # "code" or "prose" of Python sources; "cpp" or "text"
    split: str  # "train" or "test"
    text: str


class Source(NamedTuple):
    """What one file holds, before copies are dropped."""

    lines: list[str]  # code, line by line as in the file; removed lines are empty
    functions: list[tuple[int, int, str]]  # first line, end line (exclusive), hash of the erased syntax tree
    docstrings: list[str]


@cache
def versions() -> dict[str, str]:
    """The version of every distribution the corpus is built from; raises ValueError when one is not installed.

    Read once in a process: every key that names the text asks for them.
    """
    installed = {}
    for name in DISTRIBUTIONS:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise ValueError(
                f"corpus 'python' needs the distribution {name!r}, which is not installed: "
                "pip install -c constraints.txt -e ."
            ) from None
    return installed


def documents(workers: int = 2) -> tuple[list[Document], int]:
    """All documents in a fixed pseudo-random order, and the number of files that could not be read.

    A file and everything in it belongs to one split, chosen by the hash of its distribution and path.
    """
    files = sorted((_digest(f"{dist}/{path}".encode()), place) for dist, path, place in _python_files())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        sources = pool.map(read_source, (place for _, place in files), chunksize=64)
        return _without_copies(zip((key for key, _ in files), sources, strict=True))


def read_source(path: str) -> Source | None:
    """Parses one file; None when it is too large, not UTF-8 or not Python."""
    try:
        raw = Path(path).read_bytes()
        if len(raw) > LARGEST_FILE:
            return None
        text = raw.decode("utf-8").replace("\r\n", "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    lines = [line.rstrip() for line in strip_comments(text).split("\n")]
    docstrings = []
    for owner in ast.walk(tree):
        if isinstance(owner, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = _cut_docstring(owner, lines)
            if docstring:
                docstrings.append(docstring)
    return Source(lines, list(_function_spans(tree)), docstrings)


def strip_comments(text: str) -> str:
    """Python source without comments; line numbers are kept."""
    return _STRING_OR_COMMENT.sub(lambda match: match.group(1) or "", text)


def erased_tree(function: ast.AST) -> list[str]:
    """The types of a syntax tree's nodes, breadth first: what stays when names, constants and docstrings are erased."""
    return [type(node).__name__ for node in ast.walk(function)]


def _python_files() -> Iterator[tuple[str, str, str]]:
    """Distribution, path in it, and place on this machine, of every Python file that is no test."""
    for name in DISTRIBUTIONS:
        for file in metadata.files(name) or ():
            if file.suffix == ".py" and not {"test", "tests", "testing"}.intersection(file.parts):
                yield name, file.as_posix(), str(file.locate())


def _cut_docstring(owner: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """Takes the owner's docstring out of these lines and returns it, cleaned; an ellipsis stays for a whole body."""
    docstring = ast.get_docstring(owner, clean=False)
    if docstring is None:
        return ""
    node = owner.body[0]
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    indent = lines[first][: node.col_offset]
    if indent.strip():  # on the line of its def: the line stays as it is
        return ""
    lines[first:last] = [""] * (last - first)
    if len(owner.body) == 1 and not isinstance(owner, ast.Module):
        lines[first] = indent + "..."
    return inspect.cleandoc(docstring)


def _function_spans(node: ast.AST) -> Iterator[tuple[int, int, str]]:
    """Outermost functions and methods that are large enough to be called copies."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(child, clean=False) is not None
            child.body = child.body[1:] if has_docstring else child.body
            erased = erased_tree(child)
            if len(erased) >= SMALLEST_COPY:
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)]) - 1
                yield first, child.end_lineno or child.lineno, _digest(" ".join(erased).encode())
        elif isinstance(child, ast.stmt):
            yield from _function_spans(child)


def _without_copies(sources: Iterable[tuple[str, Source | None]]) -> tuple[list[Document], int]:
    """Documents of sources, by the hash of their place, each text and function once; and the number of unread files."""
    kept: list[Document] = []
    skipped = 0
    seen: set[str] = set()

    def new(key: str) -> bool:
        is_new = key not in seen
        seen.add(key)
        return is_new

    for key, source in sources:
        if source is None:
            skipped += 1
            continue
        split = "test" if int(key[:8], 16) < HELD_OUT_SHARE * 2**32 else "train"
        lines = list(source.lines)
        for first, end, shape in source.functions:
            if not new("function " + shape):
                lines[first:end] = [""] * (end - first)
        code = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n") + "\n"
        prose = "\n\n".join(text for text in source.docstrings if new("docstring " + _digest(_letters(text))))
        for kind, text in (("code", code), ("prose", prose)):
            if text.strip() and new(kind + " " + _digest(text.encode())):
                kept.append(Document(kind, split, text))
    return kept, skipped


def _letters(text: str) -> bytes:
    """The words of a text in lower case: texts that differ in spacing and marks alone are copies."""
    return re.sub(r"\W+", " ", text).lower().encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
