"""devinterp 2.0.1 on heads of the bundled model: the values that ours are held against.

    python benchmarks/devinterp_oracle.py

needs the `peers` extra; takes hours on two cores, resumes, and writes benchmarks/results/devinterp_oracle.json. The
settings are those of arXiv:2410.02984, shortened to 40 draws; devinterp averages them all, from the first.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from concurrent.futures import as_completed
from pathlib import Path

from datasets import Dataset
from devinterp.slt.llc import compute_llc
from devinterp.slt.sampling import sample
from devinterp.slt.weight_restrictions import create_param_masks
from tqdm import tqdm

from experiments import runs
from experiments.jobs.executors import pool
from experiments.storage.files import write_json

OUT = Path(__file__).parent / "results" / "devinterp_oracle.json"
RUN, STEPS, HEADS, SEEDS = "mini-seed0", (6000, 28000), ("L0H1", "L0H5", "L1H2", "L1H4"), range(8)
SETTINGS = {"lr": 1e-3, "n_beta": 30.0, "localization": 200.0, "batch_size": 32, "num_chains": 4, "num_draws": 40}
ROWS = 4096  # of the train split
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}  # for glibc; halves devinterp's time here


def first_seed(seed: int) -> int:
    """Of devinterp's first chain and of its minibatches; far apart, because its chains count up from it."""
    return 1000 * (seed + 1)


def measure(seed: int, step: int, head: str) -> dict:
    """One call of devinterp as a user would make it."""
    run = runs.open_run(RUN)
    model = run.model(step).requires_grad_(True)
    tokens = run.corpus("train").batch(slice(0, ROWS))
    data = Dataset.from_dict({"input_ids": tokens.tolist()}).with_format("torch")
    folder = Path(tempfile.mkdtemp())
    start = time.perf_counter()
    samples = sample(
        model,
        data,
        observables={},
        param_masks=create_param_masks(model, head.lower()),
        num_init_loss_batches=16,
        init_seed=first_seed(seed),
        device="cpu",
        output_path=folder / "samples.zarr",
        **SETTINGS,
    )
    seconds = time.perf_counter() - start
    found = compute_llc(samples)
    shutil.rmtree(folder)
    return {
        "seed": seed,
        "step": step,
        "head": head,
        "llc": float(found.llc_scalar),
        "per_chain": [float(value) for value in found.llc_per_chain],
        "init_loss": float(found.init_loss),
        "seconds_per_chain_step": seconds / (SETTINGS["num_chains"] * SETTINGS["num_draws"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    workers = parser.parse_args().workers
    os.environ.update(KEPT)
    record = {
        "name": "devinterp_oracle",
        "command": "python benchmarks/devinterp_oracle.py",
        "machine": "2 cores of an AMD EPYC, one thread a process, other work beside it",
        "run": RUN,
        "settings": SETTINGS,
        "rows": [],
    }
    if OUT.exists():
        record = json.loads(OUT.read_text())
    done = {(row["seed"], row["step"], row["head"]) for row in record["rows"]}
    cells = [(seed, step, head) for seed in SEEDS for step in STEPS for head in HEADS]
    with pool(workers) as executor:
        futures = [executor.submit(measure, *cell) for cell in cells if cell not in done]
        for future in tqdm(as_completed(futures), total=len(futures)):
            record["rows"] = sorted([*record["rows"], future.result()], key=lambda r: (r["seed"], r["step"], r["head"]))
            write_json(OUT, record)


if __name__ == "__main__":
    main()
