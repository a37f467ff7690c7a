"""Tasks made of prompts (induction, brackets, quotes, skip trigrams), and which paths and heads carry them.

A task's prompts, the effects of paths on them and the circuit that is found all stand here.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuits.tasks import Task

TASKS = ("induction", "brackets", "quotes", "skipgram")
SUFFIXES = (".jsonl", ".jsonl.gz")  # of such files, which are known by them
FILE = "file:"  # before the name of a file that holds a task of one's own


def check(name: str) -> None:
    """Raises ValueError for the name of no task; loads none of them."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}, or {FILE}PATH for one of your own")


def check_asked(name: str) -> None:
    """The same, where a task may also be a file; raises ValueError for a file that there is not, and for one whose
    results would have the names of those of another task.
    """
    if not name.startswith(FILE) and not name.endswith(SUFFIXES):
        check(name)
        return
    file = Path(name.removeprefix(FILE))
    if not file.is_file():
        raise ValueError(f"task {name}: no such file; give one with a JSON object a line")
    if (called := file_task(file)) in TASKS:
        raise ValueError(f"task {name}: {called} is a task already, whose results it would replace; rename the file")


def name_of(asked: "str | Task") -> str:
    """What a task is called: one that is asked for by its name, or one of one's own."""
    return asked if isinstance(asked, str) else asked.name


def file_task(file: Path) -> str:
    """What a task is called that stands in a file: its name, without endings."""
    return Path(file.name.removesuffix(".gz")).stem
