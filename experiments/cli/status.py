"""How far sweeps are, from another terminal."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

HELP = "how far the sweeps of a results folder are, running or stopped: done, missing, failed, time left"

if TYPE_CHECKING:
    from experiments.jobs.job_log import Entry, Sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="*", type=Path, help="results folders (default: all that have a log.jsonl in results/)"
    )
    parser.add_argument("--jobs", action="store_true", help="name every job that is not done")


def run(arguments: argparse.Namespace) -> None:
    from experiments.jobs import job_log

    folders = arguments.folder or sorted(path.parent for path in Path("results").glob(f"**/{job_log.NAME}"))
    if not folders:
        raise ValueError("no sweep has written into results/: give a folder, or start one")
    for folder in folders:
        if not (folder / job_log.NAME).is_file():
            raise ValueError(f"{folder} has no {job_log.NAME}: give the results folder of a run")
        entries, sweeps = job_log.read(folder)
        for sweep in job_log.latest(sweeps):
            print(f"{folder}: {_line(sweep, entries)}")
        for entry in entries.values():
            if entry.state == "failed":
                print(f"  failed: {entry.name}: {entry.error}")
            elif arguments.jobs and entry.state == "missing":
                print(f"  missing: {entry.name}")
        print(f"  every job, its seconds and its memory: {job_log.write_manifest(folder)}")


def _line(sweep: "Sweep", entries: "dict[str, Entry]") -> str:
    """One sweep in words."""
    import time

    from experiments.jobs import job_log

    states = [entries[name].state for name in sweep.jobs]
    count = ", ".join(f"{states.count(state)} {state}" for state in ("done", "missing", "failed") if state in states)
    state = f"running (process {sweep.pid} on {sweep.host})" if sweep.running else "over" if sweep.over else "stopped"
    left = job_log.seconds_left(sweep, entries, time.time() if sweep.running else sweep.last)
    time_left = f", {_clock(left)} left" if left and "missing" in states else ""
    return f"{sweep.description}, {state}: {count} of {len(states)} jobs{time_left}"


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"
