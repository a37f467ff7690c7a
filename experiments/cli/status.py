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
    from experiments.runs import places

    folders = arguments.folder or sorted(
        path.parent for path in (places.project() / "results").glob(f"**/{job_log.NAME}")
    )
    if not folders:
        raise ValueError("no sweep has written into results/: give a folder, or start one")
    for folder in folders:
        if not (folder / job_log.NAME).is_file():
            raise ValueError(f"{folder} has no {job_log.NAME}: give the results folder of a run")
        entries, sweeps = job_log.read(folder)
        if not sweeps:
            print(f"{folder}: no sweep is in its {job_log.NAME}")
        for sweep in job_log.latest(sweeps):
            print(f"{folder}: {_line(sweep, entries)}")
        for entry in entries.values():
            if entry.state == "failed":
                print(f"  failed: {entry.name}: {entry.error}")
            elif arguments.jobs and entry.state == "missing":
                print(f"  missing: {entry.name}")
        if (manifest := folder / job_log.MANIFEST).is_file():  # written by sweeps; this verb writes nothing
            print(f"  every job, its seconds and its memory, when a sweep last began or ended: {manifest}")


def _line(sweep: "Sweep", entries: "dict[str, Entry]") -> str:
    """One sweep in words."""
    import time

    from experiments.jobs import job_log
    from experiments.jobs.progress import clock

    states = [entries[name].state for name in sweep.jobs if name in entries]
    count = ", ".join(f"{states.count(state)} {state}" for state in ("done", "missing", "failed") if state in states)
    state = f"running (process {sweep.pid} on {sweep.host})" if sweep.running else "over" if sweep.over else "stopped"
    left = job_log.seconds_left(sweep, time.time() if sweep.running else sweep.last)
    time_left = f", about {clock(left)} left" if "missing" in states else ""
    return f"{sweep.description}, {state}: {count} of {len(states)} jobs{time_left}"
