"""Wall time to an equal standard error: ours against devinterp 2.0.1, as a time ratio times a variance ratio.

    python benchmarks/precision.py

needs the `peers` extra and the results of benchmarks/speed.py; takes hours on two cores, resumes per head and seed, and
writes benchmarks/results/precision.json. One head of each layer of the bundled model's last checkpoint, 30 seeds, 4
chains of 40 draws at the settings of arXiv:2410.02984, all draws averaged on both sides. devinterp as shipped holds its
draws against the center's loss on 16 other batches; `paired` is the same draws held against the center's loss on their
own batches, which devinterp does not offer.
"""

import argparse
import json
import os
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

import devinterp_oracle
import numpy as np
import torch
from scipy import stats
from torch.utils.data import DataLoader
from tqdm import tqdm

from experiments import runs, sweep, tensorfile
from llc import engine
from llc.estimate import llc
from llc.settings import PAPER

RESULTS = Path(__file__).parent / "results"
OUT = RESULTS / "precision.json"
STEP, HEADS, SEEDS, ROWS = 28000, ("L0H5", "L1H4"), range(30), devinterp_oracle.ROWS
SHORT = replace(PAPER, num_draws=40, num_burnin=0)
TARGETS = {"L0H5": 100.0, "L1H4": 300.0}


def ours(seed: int, head: str) -> dict:
    """Our estimate."""
    run = runs.open_run(devinterp_oracle.RUN)
    tokens = run.corpus("train").batch(slice(0, ROWS))
    found = llc(engine.sample(run.model(STEP), tokens, [head], settings=SHORT, seed=seed)[head])
    return {"side": "ours", "seed": seed, "head": head, "llc": float(found.value), "se": float(found.se)}


def devinterp(seed: int, head: str) -> dict:
    """devinterp's estimate, and what it would be with a paired loss at the center."""
    found = devinterp_oracle.measure(seed, STEP, head)
    nbeta = devinterp_oracle.SETTINGS["n_beta"]
    mean_loss = found["llc"] / nbeta + found["init_loss"]
    paired = nbeta * (mean_loss - center_loss(seed))
    return {"side": "devinterp", "seed": seed, "head": head, "llc": found["llc"], "paired": paired}


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


SIDES: dict[str, Callable[[int, str], dict]] = {"ours": ours, "devinterp": devinterp}


def comparison(rows: list[dict], head: str, estimate: str, speed: dict) -> dict:
    """One head against one of devinterp's estimates; intervals of 95%, normal estimates assumed for the variances."""
    mine = np.array([row["llc"] for row in rows if row["side"] == "ours" and row["head"] == head])
    peer = np.array([row[estimate] for row in rows if row["side"] == "devinterp" and row["head"] == head])
    variance = float(peer.var(ddof=1) / mine.var(ddof=1))
    low, high = stats.f.ppf([0.975, 0.025], len(peer) - 1, len(mine) - 1)
    z = (mine.mean() - peer.mean()) / np.hypot(mine.std(ddof=1), peer.std(ddof=1)) * np.sqrt(len(mine))
    product, target = speed["ratio"] * variance, TARGETS[head]
    shipped = estimate == "llc"
    return {
        "case": f"{head}, devinterp {'as shipped' if shipped else 'paired'}",
        "peer": {"mean": float(peer.mean()), "sd": float(peer.std(ddof=1))},
        "ours": {"mean": float(mine.mean()), "sd": float(mine.std(ddof=1))},
        "z of the means": float(z),
        "time ratio": [speed["ratio"], *speed["range"]],
        "variance ratio": [variance, variance / low, variance / high],
        "ratio": product,
        "interval": [variance / low * speed["range"][0], variance / high * speed["range"][1]],
        "target": target if shipped else None,
        "met": product >= target if shipped else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    workers = parser.parse_args().workers
    os.environ.update(
        {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
    )  # saves devinterp half of its time
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
    with sweep.pool(workers) as pool:
        futures = [pool.submit(SIDES[side], seed, head) for side, seed, head in cells if (side, seed, head) not in done]
        for future in tqdm(as_completed(futures), total=len(futures)):
            rows = [*record["estimates"], future.result()]
            record["estimates"] = sorted(rows, key=lambda r: (r["side"], r["head"], r["seed"]))
            tensorfile.write_json(OUT, record)
    timed = {row["case"]: row for row in json.loads((RESULTS / "speed.json").read_text())["rows"]}
    speed = {f"L{layer}": timed[f"bundled, {name} layer"] for layer, name in enumerate(("first", "last"))}
    estimates = record["estimates"]
    record["rows"] = [
        comparison(estimates, head, kind, speed[head[:2]]) for head in HEADS for kind in ("llc", "paired")
    ]
    tensorfile.write_json(OUT, record)
    for row in record["rows"]:
        print(row)


if __name__ == "__main__":
    main()
