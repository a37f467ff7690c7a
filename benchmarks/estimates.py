"""How well times are told before anything is measured: seconds that jobs declare, and that they take.

    python benchmarks/estimates.py

takes some fifteen minutes on two cores and writes benchmarks/results/estimates.json. Every kind of measurement at one
checkpoint, on the bundled model and on one of GPT-2's shape with four layers and random weights, one job after another
in this process. The target is a factor of two either way for every job of five seconds or more.
"""

import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ablations import models
from experiments import open_run
from experiments.heldout import ablation_pass, head_types, induction_tokens
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.heldout.model_multigrams import AFFECTED_KINDS, MODEL_MULTIGRAMS
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS
from experiments.jobs import runner
from experiments.jobs.job import Job
from experiments.measurements.kinds import MAIN_JOB
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs.adopt import adopt
from experiments.runs.run import Run
from experiments.storage.files import write_json
from experiments.tasks import path_effects

OUT = Path(__file__).parent / "results" / "estimates.json"
TARGET, COUNTED = 2.0, 5.0  # a factor; seconds from which on a job counts
SHAPE = {"n_layers": 4, "d_model": 256, "n_heads": 8, "d_head": 32, "d_mlp": 1024, "n_ctx": 128, "d_vocab": 1024}
GPT2 = SHAPE | {"act_fn": "gelu_new", "positional_embedding_type": "standard", "seed": 0}
TOKENS = 20_000


def shaped(folder: Path) -> Run:
    """A run of GPT-2's shape, on the bundled tokenizer and text."""
    tokenizer = open_run("mini-seed0").tokenizer
    return adopt(folder / "gpt2-shaped", {0: models.new(GPT2)}, tokenizer, corpus="python", tokens_per_step=1)


def jobs(cells: Cells) -> Iterator[Job]:
    """All jobs at the last checkpoint; those that read others' cells come after these."""
    step = cells.run.steps[-1]
    yield from cells.missing_tables(MAIN_JOB, [step])
    ablation = head_types.pass_of_types(cells, step, TOKENS)
    yield from [*cells.missing(TEXT_MULTIGRAMS), *ablation_pass.missing(cells, ablation)]
    yield from cells.missing(LABELLED_TOKENS, rows=len(ablation_pass.rows_of(ablation, cells.inputs)))
    record = ablation.record()
    yield from cells.missing(MODEL_MULTIGRAMS, step, ablation=record)
    yield from cells.missing(AFFECTED_KINDS, step, ablation=record, restriction="L0H0")
    resampled = AblationPass(("L0H1",), step, TOKENS, lists=True)
    yield from ablation_pass.missing(cells, resampled)
    yield from path_effects.missing(cells, "induction", [step])
    yield from ablation_pass.missing(cells, induction_tokens.pass_of(cells)) if cells.run.name == "mini-seed0" else []


def measured(run: Run, folder: Path) -> list[dict]:
    """A row for each kind and layer: jobs, declared and taken seconds."""
    cells = Cells(folder / run.name, run, default_plan("python", run.config["model"]["n_ctx"]))
    rows: dict[str, dict] = {}
    for job in jobs(cells):
        took, _ = runner.work(job.function, job.arguments)
        name = job.name if job.kind == "rllc" else job.kind
        row = rows.setdefault(name, {"model": run.name, "case": name, "jobs": 0, "declared": 0.0, "took": 0.0})
        row["jobs"] += 1
        row["declared"] += job.seconds
        row["took"] += took
        print(f"{run.name}: {job.name}: declared {job.seconds:.1f} s, took {took:.1f} s", flush=True)
    for row in rows.values():
        row["ratio"] = row["took"] / row["declared"]
    return list(rows.values())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = open_run("mini-seed0"), shaped(Path(folder))
        rows = [row for run in runs for row in measured(run, Path(folder))]
    counted = [row["ratio"] for row in rows if row["took"] >= COUNTED]
    record = {
        "name": "estimates",
        "command": "python benchmarks/estimates.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "target": f"a factor of {TARGET:g} either way where {COUNTED:g} seconds or more are taken",
        "met": all(1 / TARGET <= ratio <= TARGET for ratio in counted),
        "rows": rows,
    }
    write_json(OUT, record)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
