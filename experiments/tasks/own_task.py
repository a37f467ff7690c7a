"""A task of one's own: of text, or a file of JSON lines, one prompt a line.

    {"clean": "The cats", "corrupted": "The cat", "right": " are", "wrong": " is"}

Lines hold these four texts; anything else in them is left alone, and so are empty lines.
"""

import json
from pathlib import Path

from circuits import task_text
from circuits.task_text import Encoder, Pair
from circuits.tasks import Task, check_task
from experiments import tasks
from experiments.corpora import text_files
from experiments.corpora.documents import first_line
from experiments.runs.run import Run

FIELDS = ("clean", "corrupted", "right", "wrong")


def opened(asked: str | Path | Task, run: Run) -> str | Task:
    """The name of a task of the run's text as it is; a file ("file:PATH", or a path to .jsonl) as the task that it
    holds, in the run's tokens; a Task itself. Raises ValueError for none of these, and for what the run cannot read.
    """
    if isinstance(asked, Task):
        return checked(asked, run)
    name = str(asked)
    if isinstance(asked, Path) or name.endswith(tasks.SUFFIXES):
        name = name if name.startswith(tasks.FILE) else tasks.FILE + name
    tasks.check_asked(name)
    return read(Path(name.removeprefix(tasks.FILE)), run) if name.startswith(tasks.FILE) else name


def checked(task: Task, run: Run) -> Task:
    """The task itself; raises ValueError for one that the run's models cannot read, and for a single prompt."""
    check_task(task, run.model_config())
    if len(task.clean) < 2:
        raise ValueError(
            "1 prompt: intervals and tests are over prompts, give two or more "
            "(circuits.path_effects measures a single one)"
        )
    return task


def read(file: Path, run: Run) -> Task:
    """The task of a file, called by the file's name; raises ValueError with the line of what is wrong, from 1."""
    of = task_text.encoder(run.tokenizer)._replace(longest=run.config["model"]["n_ctx"])
    try:
        lines = text_files.content_of(file).split("\n")
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({first_line(error)}): give JSON lines in UTF-8") from None
    made: list[Pair] = []
    places: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            made.append(_pair(of, line))
            if made[-1] in made[:-1]:
                raise ValueError(f"line {places[made.index(made[-1])]} once more: leave one of them out")
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from None
        places.append(number)
    if not made:
        example = json.dumps(dict.fromkeys(FIELDS, "..."))
        raise ValueError(f"{file} holds no prompt: give lines such as {example}")
    return checked(Task(tasks.file_task(file), *task_text.stacked(of, made)), run)


def _pair(of: Encoder, line: str) -> Pair:
    """A line's prompt and its answers."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON ({first_line(error)}): give an object with {', '.join(FIELDS)}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{line.strip()[:40]} is no JSON object: give one with {', '.join(FIELDS)}")
    if lacks := [name for name in FIELDS if name not in record]:
        raise ValueError(f"no {', '.join(lacks)} (it has {', '.join(record) or 'nothing'}): give {', '.join(FIELDS)}")
    return task_text.pair(of, *(_text(name, record[name]) for name in FIELDS))


def _text(name: str, value: object) -> str:
    """A field's text; raises ValueError for anything else."""
    try:
        return text_files.checked(value)
    except TypeError:
        raise ValueError(f"{name}={value!r}: give text") from None
    except ValueError:  # half a surrogate pair, or bytes that are no UTF-8
        raise ValueError(f"{name}={value!r} holds what is no UTF-8: write the file in UTF-8") from None
