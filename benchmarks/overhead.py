"""What a sweep adds to the engine: cells of about one second, one after the other, against the bare sampling calls.

    python benchmarks/overhead.py

Both do the same chains of heads of the bundled model's second layer, a head a job, in turns, in one process on one
thread. The sweep's time holds all that it adds: finding what is missing, keys (which read and hash the checkpoint),
estimates and diagnoses, writing and flushing cells, the log and the manifest. Writes benchmarks/results/overhead.json.
"""

import os
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from experiments import runs
from experiments.jobs import runner
from experiments.measurements.rllc import RLLC
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.storage.files import write_json
from llc import engine
from llc.settings import QUICK

OUT = Path(__file__).parent / "results" / "overhead.json"
RUN, LAYER, HEADS, TURNS = "mini-seed0", 1, 4, 9
SETTINGS = replace(QUICK, name="OVERHEAD", num_draws=60, num_burnin=30)  # about a second a head
TARGET = 0.03


def main() -> None:
    torch.set_num_threads(1)
    run = runs.open_run(RUN)
    chosen = replace(plan.default_plan("python", 256), llc=SETTINGS)
    step, heads = run.steps[-1], [f"L{LAYER}H{head}" for head in range(HEADS)]
    on = Inputs(run, chosen)
    _bare(on, step, heads)  # the text and the model are read once by both
    ratios, seconds = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(TURNS):
            bare = _bare(on, step, heads)
            swept = _swept(Cells(Path(scratch) / str(turn), run, chosen), step, heads)
            ratios.append(swept / bare - 1)
            seconds.append(bare / HEADS)
            print(f"{bare / HEADS:.2f} s a cell, overhead {100 * ratios[-1]:.1f}%", flush=True)
    overhead = statistics.median(ratios)
    row = {
        "case": f"{HEADS} cells of {statistics.median(seconds):.2f} s (median), {TURNS} turns",
        "overhead": round(overhead, 4),
        "smallest and largest of the turns": [round(min(ratios), 4), round(max(ratios), 4)],
        "target": TARGET,
        "met": overhead < TARGET,
    }
    record = {
        "name": "overhead",
        "command": "python benchmarks/overhead.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "rows": [row],
    }
    write_json(OUT, record)
    print(row)


def _bare(on: Inputs, step: int, heads: list[str]) -> float:
    """Seconds of sampling alone."""
    start = time.perf_counter()
    for head in heads:
        model = on.model(step)
        engine.sample(model, on.sampled, [head], settings=on.plan.llc, seed=on.plan.seed)
    return time.perf_counter() - start


def _swept(cells: Cells, step: int, heads: list[str]) -> float:
    """Seconds of a sweep from an empty folder."""
    start = time.perf_counter()
    jobs = [job for head in heads for job in cells.missing(RLLC, step, restrictions=[head])]
    runner.run_here(jobs, "overhead")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
