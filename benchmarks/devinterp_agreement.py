"""Do ours and devinterp 2.0.1 estimate the same number, and whose spread over seeds is smaller?

    python benchmarks/devinterp_agreement.py

Ours at the settings, checkpoints and heads of devinterp_oracle.json (40 draws from the first on, both averaged whole),
8 seeds. Takes an hour of a core, resumes, and writes benchmarks/results/devinterp_agreement.json.
"""

import json
import os
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats
from tqdm import tqdm

from experiments import runs
from experiments.jobs.executors import pool
from experiments.storage.files import write_json
from llc import engine
from llc.estimate import learning_coefficient
from llc.settings import PAPER

RESULTS = Path(__file__).parent / "results"
OUT = RESULTS / "devinterp_agreement.json"
SHORT = replace(PAPER, num_draws=40, num_burnin=0)
ROWS = 4096  # of the train split, as for devinterp


def measure(seed: int, step: int, heads: tuple[str, ...]) -> list[dict]:
    """Ours for heads of one layer."""
    run = runs.open_run("mini-seed0")
    tokens = run.corpus("train").batch(slice(0, ROWS))
    traces = engine.sample(run.model(step), tokens, heads, settings=SHORT, seed=seed)
    return [
        {"seed": seed, "step": step, "head": head, "llc": float(found.value), "se": float(found.se)}
        for head, found in ((head, learning_coefficient(trace)) for head, trace in traces.items())
    ]


def grid(rows: list[dict]) -> np.ndarray:
    """[seed, checkpoint, head] of estimates."""
    seeds, steps, heads = (sorted({row[name] for row in rows}) for name in ("seed", "step", "head"))
    found = np.full((len(seeds), len(steps), len(heads)), np.nan)
    for row in rows:
        found[seeds.index(row["seed"]), steps.index(row["step"]), heads.index(row["head"])] = row["llc"]
    return found


def scores(ours: np.ndarray, peer: np.ndarray) -> np.ndarray:
    """z [checkpoint, head]: difference of the means over seeds, in joint standard errors."""
    error = np.sqrt(ours.var(0, ddof=1) / len(ours) + peer.var(0, ddof=1) / len(peer))
    return (ours.mean(0) - peer.mean(0)) / error


def sum_of_squares(ours: np.ndarray, peer: np.ndarray) -> tuple[float, int]:
    """The z-scores' sum of squares after whitening, and its degrees of freedom.

    devinterp's minibatches depend on its seed alone, so its error is mostly one number for all heads of a seed. The
    difference is therefore split into the mean of a checkpoint's heads and the heads' departures from it (each with
    its own error, from the seeds), and the means of the checkpoints into their uncorrelated parts.
    """
    seeds, checkpoints, heads = peer.shape
    total, means = 0.0, []
    for at in range(checkpoints):
        difference = ours[:, at].mean(0) - peer[:, at].mean(0)
        variance = 0.0
        for estimates in (ours[:, at], peer[:, at]):
            own = estimates - estimates.mean(1, keepdims=True)
            own = own - own.mean(0)
            variance += (own**2).sum() / ((seeds - 1) * (heads - 1)) / len(estimates)
        total += float(((difference - difference.mean()) ** 2).sum() / variance)
        shared = np.sqrt(sum(e[:, at].mean(1).var(ddof=1) / len(e) for e in (ours, peer)))
        means.append(difference.mean() / shared)
    correlation = np.corrcoef(peer.mean(2).T)[0, 1]
    total += (means[0] + means[1]) ** 2 / (2 * (1 + correlation)) + (means[0] - means[1]) ** 2 / (2 * (1 - correlation))
    return float(total), checkpoints * heads


def spread_ratio(ours: np.ndarray, peer: np.ndarray) -> tuple[float, float, float]:
    """devinterp's standard deviation over ours, variances pooled over heads and checkpoints, with its 95% interval.

    The interval resamples whole seeds of each, since a seed's errors are shared by its heads.
    """
    drawn = np.random.default_rng(0)

    def ratio(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(b.var(0, ddof=1).mean() / a.var(0, ddof=1).mean()))

    resampled = [ratio(*(e[drawn.integers(len(e), size=len(e))] for e in (ours, peer))) for _ in range(4000)]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return ratio(ours, peer), float(low), float(high)


def summary(ours: np.ndarray, peer: np.ndarray) -> list[dict]:
    worst = float(np.abs(scores(ours, peer)).max())
    total, freedom = sum_of_squares(ours, peer)
    low, high = (float(q) for q in stats.chi2.ppf([0.005, 0.995], freedom))
    ratio = spread_ratio(ours, peer)
    return [
        {"case": "largest |z| of 8 cells", "ours": worst, "target": 3.0, "met": worst < 3},
        {"case": "whitened sum of squares", "ours": total, "target": [low, high], "met": low < total < high},
        {"case": "standard deviation over seeds, devinterp / ours", "ratio": ratio[0], "interval": ratio[1:],
         "target": 6.0, "met": ratio[0] >= 6},
        {"case": "mean standard deviation over seeds", "ours": float(np.sqrt(ours.var(0, ddof=1).mean())),
         "peer": float(np.sqrt(peer.var(0, ddof=1).mean()))},
    ]  # fmt: skip


def main() -> None:
    oracle = json.loads((RESULTS / "devinterp_oracle.json").read_text())["rows"]
    record: dict = {
        "name": "devinterp_agreement",
        "command": "python benchmarks/devinterp_agreement.py",
        "machine": "2 cores of an AMD EPYC, one thread a process",
        "rows": [],
        "ours": [],
    }
    if OUT.exists():
        record = json.loads(OUT.read_text())
    done = {(row["seed"], row["step"], row["head"]) for row in record["ours"]}
    os.environ["MALLOC_MMAP_MAX_"], os.environ["MALLOC_TRIM_THRESHOLD_"] = "0", str(2**40)  # as for devinterp
    by_layer: dict[tuple, list[str]] = {}
    for row in oracle:
        if (row["seed"], row["step"], row["head"]) not in done:
            by_layer.setdefault((row["seed"], row["step"], row["head"][:2]), []).append(row["head"])
    with pool(os.cpu_count() or 1) as executor:
        futures = [executor.submit(measure, seed, step, tuple(heads)) for (seed, step, _), heads in by_layer.items()]
        for future in tqdm(as_completed(futures), total=len(futures)):
            record["ours"] = sorted(
                [*record["ours"], *future.result()], key=lambda r: (r["seed"], r["step"], r["head"])
            )
            write_json(OUT, record)
    record["rows"] = summary(grid(record["ours"]), grid(oracle))
    write_json(OUT, record)
    for row in record["rows"]:
        print(row)


if __name__ == "__main__":
    main()
