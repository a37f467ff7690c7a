"""Wall time to an equal standard error: ours against devinterp 2.0.1, as a time ratio times a variance ratio.

    python benchmarks/precision.py

needs the `peers` extra and the results of benchmarks/speed.py; takes hours on two cores, resumes per head and seed, and
writes benchmarks/results/precision.json. One head of each layer of the bundled model's last checkpoint, 30 seeds, 4
chains of 40 draws at the settings of arXiv:2410.02984, all draws averaged on both sides. devinterp as shipped holds its
draws against the center's loss on 16 other batches; `paired` is the same draws held against the center's loss on their
own batches, which devinterp does not offer. A third comparison, outside the targets, is ours on 2 rows a minibatch: the
posterior is the same as long as minibatch noise does not heat it, and pairing keeps the estimate precise.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path

import devinterp_oracle
import numpy as np
import torch
from scipy import stats
from torch.utils.data import DataLoader
from tqdm import tqdm

from experiments import runs
from experiments.jobs.executors import pool
from experiments.storage.files import write_json
from llc import engine
from llc.estimate import learning_coefficient
from llc.settings import PAPER

RESULTS = Path(__file__).parent / "results"
OUT = RESULTS / "precision.json"
STEP, HEADS, SEEDS, ROWS = 28000, ("L0H5", "L1H4"), range(30), devinterp_oracle.ROWS
SHORT = replace(PAPER, num_draws=40, num_burnin=0)
TARGETS = {"L0H5": 100.0, "L1H4": 300.0}


def ours(seed: int, head: str, rows: int = SHORT.batch_size) -> dict:
    """Our estimate, from minibatches of so many rows."""
    run = runs.open_run(devinterp_oracle.RUN)
    model, tokens = run.model(STEP), run.corpus("train").batch(slice(0, ROWS))
    chosen = replace(SHORT, batch_size=rows)
    start = time.perf_counter()
    found = learning_coefficient(engine.sample(model, tokens, [head], settings=chosen, seed=seed)[head])
    return {"llc": float(found.value), "se": float(found.se), "seconds": time.perf_counter() - start}


def devinterp(seed: int, head: str) -> dict:
    """devinterp's estimate, and what it would be with a paired loss at the center."""
    found = devinterp_oracle.measure(seed, STEP, head)
    nbeta = devinterp_oracle.SETTINGS["n_beta"]
    mean_loss = found["llc"] / nbeta + found["init_loss"]
    paired = nbeta * (mean_loss - center_loss(seed))
    return {"llc": found["llc"], "paired": paired}


def center_loss(seed: int) -> float:
    """Mean loss of the unperturbed model on devinterp's own minibatches, in its order (shared by its chains)."""
    run = runs.open_run(devinterp_oracle.RUN)
    model, tokens = run.model(STEP), run.corpus("train").batch(slice(0, ROWS))
    order = torch.Generator().manual_seed(devinterp_oracle.first_seed(seed))
    rows = DataLoader(range(ROWS), SHORT.batch_size, shuffle=True, generator=order, drop_last=True)
    with torch.no_grad():
        losses = [
            model(tokens[batch], return_type="loss").item()
            for _, batch in zip(range(SHORT.num_draws), rows, strict=False)
        ]
    return float(np.mean(losses))


SIDES: dict[str, Callable[[int, str], dict]] = {
    "ours": ours,
    "ours on 2 rows": partial(ours, rows=2),
    "devinterp": devinterp,
}


def column(rows: list[dict], side: str, head: str, name: str) -> np.ndarray:
    """One number of all seeds."""
    return np.array([row[name] for row in rows if row["side"] == side and row["head"] == head])


def comparison(rows: list[dict], side: str, head: str, estimate: str, speed: dict) -> dict:
    """One of ours against one of devinterp's estimates; 95% intervals, that of the variances for normal estimates."""
    mine, peer = column(rows, side, head, "llc"), column(rows, "devinterp", head, estimate)
    variance = float(peer.var(ddof=1) / mine.var(ddof=1))
    low, high = variance / stats.f.ppf([0.975, 0.025], len(peer) - 1, len(mine) - 1)
    z = (mine.mean() - peer.mean()) / np.hypot(mine.std(ddof=1), peer.std(ddof=1)) * np.sqrt(len(mine))
    faster = np.median(column(rows, "ours", head, "seconds")) / np.median(column(rows, side, head, "seconds"))
    times = [float(faster * value) for value in (speed["ratio"], *speed["range"])]
    product, target = times[0] * variance, TARGETS[head] if (side, estimate) == ("ours", "llc") else None
    return {
        "case": f"{head}, {side}, devinterp {'as shipped' if estimate == 'llc' else 'paired'}",
        "peer": {"mean": float(peer.mean()), "sd": float(peer.std(ddof=1))},
        "ours": {"mean": float(mine.mean()), "sd": float(mine.std(ddof=1))},
        "z of the means": float(z),
        "time ratio": times,
        "variance ratio": [variance, float(low), float(high)],
        "ratio": product,
        "interval": [float(low * times[1]), float(high * times[2])],
        "target": target,
        "met": None if target is None else product >= target,
    }


def measure(side: str, seed: int, head: str) -> dict:
    """One estimate of one side."""
    return {"side": side, "seed": seed, "head": head} | SIDES[side](seed, head)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    workers = parser.parse_args().workers
    os.environ.update(devinterp_oracle.KEPT)
    record: dict = {
        "name": "precision",
        "command": "python benchmarks/precision.py",
        "machine": "2 cores of an AMD EPYC",
        "rows": [],
        "estimates": [],
    }
    if OUT.exists():
        record = json.loads(OUT.read_text())
    done = {(row["side"], row["seed"], row["head"]) for row in record["estimates"]}
    cells = [(side, seed, head) for seed in SEEDS for head in HEADS for side in SIDES]
    with pool(workers) as executor:
        futures = [executor.submit(measure, *cell) for cell in cells if cell not in done]
        for future in tqdm(as_completed(futures), total=len(futures)):
            rows = [*record["estimates"], future.result()]
            record["estimates"] = sorted(rows, key=lambda r: (r["side"], r["head"], r["seed"]))
            write_json(OUT, record)
    timed = {row["case"]: row for row in json.loads((RESULTS / "speed.json").read_text())["rows"]}
    speed = {f"L{layer}": timed[f"bundled, {name} layer"] for layer, name in enumerate(("first", "last"))}
    record["rows"] = [
        comparison(record["estimates"], side, head, estimate, speed[head[:2]])
        for head in HEADS
        for side in ("ours", "ours on 2 rows")
        for estimate in ("llc", "paired")
    ]
    write_json(OUT, record)
    for row in record["rows"]:
        print(row)


if __name__ == "__main__":
    main()
