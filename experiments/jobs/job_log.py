"""What sweeps did in a results folder: an event a line in log.jsonl, appended, so that other processes can follow it.

A manifest for a person to read, one line a job, is written from it when a sweep begins and when it ends.
"""

import csv
import io
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Literal

from experiments.jobs import estimate
from experiments.jobs.estimate import Timed
from experiments.jobs.job import Job
from experiments.storage.files import as_json, write_bytes

NAME, MANIFEST = "log.jsonl", "manifest.csv"
State = Literal["missing", "done", "failed"]
NUMBER = int | float
# What is read of an event, by its kind, with the types that it must have, and what it may have besides.
_PARTS: dict[str, dict[str, type | UnionType]] = {
    "sweep": {"description": str, "host": str, "pid": int, "jobs": list},
    "done": {"job": str},
    "failed": {"job": str},
    "split": {"job": str, "parts": list},
    "end": {},
}
_MORE: dict[str, type | UnionType] = {
    **{"took": NUMBER | None, "peak_mb": NUMBER | None, "error": str},
    **{"workers": int, "folders": list},
}


@dataclass
class Entry:
    """A job, and what became of it when it was last tried."""

    name: str
    expected: float  # seconds, as its kind declares them
    kind: str = ""
    state: State = "missing"
    took: float | None = None  # seconds
    peak_mb: float | None = None
    error: str = ""


@dataclass
class Sweep:
    """One call of `sweep.run`, as far as it has come."""

    description: str
    began: float  # seconds since the epoch
    host: str
    pid: int
    id: str = ""
    workers: int = 0  # 0 where it is not known
    folders: list[str] = field(default_factory=list)  # all that it writes into; each has a log of its own jobs
    jobs: list[str] = field(default_factory=list)
    last: float = 0.0
    over: bool = False

    @property
    def running(self) -> bool:
        """Whether its process is there; on another machine, whether it has not said that it is over."""
        return not self.over and (self.host != socket.gethostname() or _exists(self.pid))


class Log:
    """The log of one sweep, in the folders of its jobs."""

    def __init__(self, tasks: Sequence[Job], description: str, workers: int = 0) -> None:
        self._id = uuid.uuid4().hex[:12]
        by_folder: dict[Path, list[Job]] = {}
        for task in tasks:
            by_folder.setdefault(task.folder, []).append(task)
        self._folders = list(by_folder)
        told = {"description": description, "host": socket.gethostname(), "pid": os.getpid(), "workers": workers}
        every = [str(folder.absolute()) for folder in by_folder]
        for folder, jobs in by_folder.items():
            self._tell(folder, "sweep", **told, folders=every, jobs=[_declared(job) for job in jobs])

    def done(self, task: Job, took: float, peak_mb: float) -> None:
        """Seconds and the most memory of its process."""
        self._tell(task.folder, "done", job=task.name, took=round(took, 3), peak_mb=round(peak_mb, 1))

    def failed(self, task: Job, error: str, traceback: str = "") -> None:
        """The error in a line, and the traceback of a bug."""
        more = {"traceback": traceback} if traceback else {}
        self._tell(task.folder, "failed", job=task.name, error=error, **more)

    def split(self, task: Job) -> None:
        """Its parts are done in its place."""
        self._tell(task.folder, "split", job=task.name, parts=[_declared(part) for part in task.parts])

    def end(self) -> None:
        for folder in self._folders:
            self._tell(folder, "end")

    def write_manifests(self) -> None:
        for folder in self._folders:
            write_manifest(folder)

    def _tell(self, folder: Path, event: str, **parts: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        line = as_json({"event": event, "sweep": self._id, "time": round(time.time(), 3), **parts})
        with (folder / NAME).open("ab", buffering=0) as file:  # one write: lines of two sweeps do not mix
            file.write(line.encode() + b"\n")


def _declared(job: Job) -> list:
    return [job.name, round(job.seconds, 3), job.kind]


@contextmanager
def writing(tasks: Sequence[Job], description: str, workers: int = 0) -> Iterator[Log]:
    """The log of a sweep that begins, and ends with the block. workers: 0 where it is not known."""
    log = Log(tasks, description, workers)
    log.write_manifests()
    try:
        yield log
    finally:
        log.end()
        log.write_manifests()


def read(folder: Path) -> tuple[dict[str, Entry], list[Sweep]]:
    """All jobs that sweeps in this folder were of, by name, and the sweeps, in the order in which they began."""
    entries: dict[str, Entry] = {}
    sweeps: dict[str, Sweep] = {}
    for event in _events(folder / NAME):
        if event["event"] == "sweep":
            sweep = _begun(event, str(folder.absolute()))
            sweeps[event["sweep"]] = sweep
            _declare(event["jobs"], entries, sweep)
        elif event["sweep"] not in sweeps:
            continue
        elif event["event"] == "end":
            sweeps[event["sweep"]].over = True
        elif event["event"] == "split":
            entries.pop(event["job"], None)
            sweep = sweeps[event["sweep"]]
            sweep.jobs = [name for name in sweep.jobs if name != event["job"]]
            _declare(event["parts"], entries, sweep)
        else:
            entry = entries.get(event["job"], Entry(event["job"], 0.0))
            became = (event["event"], event.get("took"), event.get("peak_mb"), event.get("error", ""))
            entries[event["job"]] = Entry(entry.name, entry.expected, entry.kind, *became)
        sweeps[event["sweep"]].last = event["time"]
    return entries, list(sweeps.values())


def _begun(event: dict, own: str) -> Sweep:
    """The sweep of an event, in the folder `own`; older logs say neither workers nor folders, and folders are moved."""
    folders = event.get("folders", [])
    told = (event["description"], event["time"], event["host"], event["pid"], event["sweep"])
    return Sweep(*told, event.get("workers", 0), folders if own in folders else [own])


def _declare(jobs: Sequence[Sequence], entries: dict[str, Entry], sweep: Sweep) -> None:
    for name, expected, *kind in jobs:  # older logs do not name kinds
        entries[name] = Entry(name, float(expected), *kind)
        sweep.jobs.append(name)


def latest(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Those that are running; the last one where none is."""
    return [sweep for sweep in sweeps if sweep.running] or list(sweeps[-1:])


def seconds_left(sweep: Sweep, now: float) -> float:
    """Seconds that the sweep still needs in all its folders, at this moment of the clock: as its own bar says."""
    timed, last = [], sweep.began
    for folder in sweep.folders:
        entries, sweeps = read(Path(folder))
        for part in [other for other in sweeps if other.id == sweep.id]:
            timed += [_timed(entries[name]) for name in part.jobs if name in entries]
            last = max(last, part.last)
    return estimate.seconds_left(timed, elapsed=now - sweep.began, since=max(0.0, now - last), workers=sweep.workers)


def _timed(entry: Entry) -> Timed:
    return Timed(entry.kind, entry.expected, entry.state != "missing", entry.took)


def write_manifest(folder: Path) -> Path:
    """job, state, seconds, peak_mb, error."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("job", "state", "seconds", "peak_mb", "error"))
    for _, entry in sorted(read(folder)[0].items()):
        rows.writerow((entry.name, entry.state, entry.took, entry.peak_mb, entry.error))
    write_bytes(folder / MANIFEST, text.getvalue().encode())
    return folder / MANIFEST


def _events(path: Path) -> Iterator[dict]:
    """The events of all whole lines: the last may be cut where a process was killed, and any may be damaged."""
    if not path.exists():
        return
    for line in path.read_text(errors="replace").split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _is_whole(event):
            yield event


def _is_whole(event: object) -> bool:
    """Whether an event has all that is read of it, each part of its type; those of older logs have not."""
    if not isinstance(event, dict) or event.get("event") not in tuple(_PARTS):
        return False
    parts = {"sweep": str, "time": NUMBER, **_PARTS[event["event"]]}
    parts |= {name: kind for name, kind in _MORE.items() if name in event}
    if not all(name in event and isinstance(event[name], kind) for name, kind in parts.items()):
        return False
    return all(map(_is_declaration, [*event.get("jobs", ()), *event.get("parts", ())]))


def _is_declaration(job: object) -> bool:
    """Whether this is what `_declared` gives; older logs do not name the kind."""
    if not isinstance(job, list) or len(job) not in (2, 3):
        return False
    types = (str, NUMBER, str)[: len(job)]
    return all(isinstance(part, kind) for part, kind in zip(job, types, strict=True))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
