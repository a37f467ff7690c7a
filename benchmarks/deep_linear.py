"""Learning coefficients of deep linear networks against their exact values, ours and devinterp 2.0.1's.

    python benchmarks/deep_linear.py

Strata, in rows of their own (benchmarks/results/deep_linear.json):
A  generic points of the top-dimensional stratum, where the coefficient is half the rank of the Jacobian. At these
   settings the posterior is Gaussian, so A tests only that a sampler counts a Hessian's rank.
B  the deepest points, singular: estimates over nbeta, their exact values, and a fit to the asymptotic law.
C  points that gradient descent reached; truth is half the Jacobian's rank there.
Without the `peers` extra devinterp's columns stay empty. Resumes row by row; --stratum A runs one stratum.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from deep_linear_points import (
    Point,
    curvature_range,
    deepest,
    descended,
    generic,
    is_generic,
    jacobian_rank,
    loss_at,
)
from scipy.optimize import curve_fit
from torch import Tensor
from tqdm import tqdm

from experiments import tensorfile
from llc import mala, sgld
from llc.chains import sample_function
from llc.closed_form import deep_linear
from llc.estimate import llc
from llc.settings import Settings

OUT = Path(__file__).parent / "results" / "deep_linear.json"

GENERIC = [
    ((8, 8), 8), ((12, 12), 12), ((5, 10, 6), 5), ((8, 8, 8), 8), ((8, 8, 8), 4), ((10, 6, 10), 6), ((10, 10, 10), 5),
    ((12, 5, 12), 3), ((6, 8, 8, 6), 6), ((8, 8, 8, 8), 8), ((8, 10, 6, 8), 4), ((16, 16, 16), 16), ((16, 16, 16), 8),
    ((20, 10, 20), 10), ((12, 16, 16, 12), 12), ((12, 12, 12, 12, 12), 12), ((16, 12, 16, 12), 6), ((32, 16, 32), 16),
    ((30, 30, 30), 30), ((30, 40, 20), 10), ((32, 32, 32, 32), 32), ((24, 32, 40, 24), 12), ((64, 32, 64), 32),
    ((64, 64, 64), 64), ((50, 80, 50), 25), ((48, 64, 64, 48), 48), ((40, 40, 40, 40, 40), 40), ((100, 60, 100), 60),
    ((128, 128, 128), 128), ((100, 150, 100, 50), 25), ((200, 150, 200), 150), ((200, 200, 200, 200), 200),
    ((300, 400, 300), 200), ((500, 700, 900), 500),
]  # fmt: skip
DEEPEST = [
    ((2, 2, 2), 0), ((2, 2, 2), 1), ((3, 3, 3), 1), ((4, 4, 4, 4), 2), ((5, 3, 5), 0), ((5, 5, 5), 2),
    ((10, 10, 10), 5), ((20, 20, 20), 10),
]  # fmt: skip
DESCENDED = [
    ((6, 8, 6), 4), ((8, 8, 8, 8), 8), ((10, 12, 10), 10), ((12, 16, 12), 6), ((16, 16, 16), 12), ((10, 20, 20, 10), 8),
]  # fmt: skip
TARGET_ERROR = 0.01  # of the standard error, relative
BUDGET = 60_000  # draws of a chain at most


def row_generic(point: Point, minibatch: Tensor | None = None) -> dict:
    """A point whose coefficient is half its Jacobian's rank."""
    rank, width = jacobian_rank(point), max(point.widths)
    settings = cold_settings(point, rank, 100.0 * width)
    data, loss = None, loss_at(point)
    if minibatch is not None:
        data, settings = minibatch, replace(settings, batch_size=len(minibatch) // 4)
    start = time.perf_counter()
    for attempt in range(4):
        draws = settings.num_draws - settings.num_burnin
        settings = replace(settings, num_draws=min(BUDGET, settings.num_burnin + draws * 2**attempt))
        found = llc(sample_function(loss, point.flat, settings=settings, seed=0, data=data))
        if found.se / found.value < TARGET_ERROR or settings.num_draws == BUDGET:
            break
    truth = rank / 2
    row = {
        **described(point),
        "truth": truth,
        "formula": deep_linear(point.widths, point.rank).value,
        "ours": float(found.value),
        "ours_se": float(found.se),
        "ours_error": float(found.value) / truth - 1,
        "settings": {key: getattr(settings, key) for key in ("lr", "nbeta", "localization", "batch_size")},
        "draws": [settings.num_chains, settings.num_draws, settings.num_burnin],
        "ours_seconds": time.perf_counter() - start,
    }
    if minibatch is None and importlib.util.find_spec("devinterp"):
        row |= peer(point, settings, truth)
    return row


def cold_settings(point: Point, rank: int, localization: float) -> Settings:
    """nbeta 1000 times the localization, lr nbeta h_max = 0.05, draws for a standard error of 1%."""
    highest, lowest = curvature_range(point)
    nbeta = 1000 * localization
    slowest = 40 * highest / lowest  # steps in which the slowest curved direction relaxes: 2 / (lr nbeta h)
    burnin = int(min(2 * slowest, BUDGET / 4))
    typical = 2 * 40 * 2.5  # integrated autocorrelation of the rise in a typical direction, in draws
    draws = max(400, int(typical * 2 / rank / (0.7 * TARGET_ERROR) ** 2 / 4))
    return Settings(
        "COLD",
        lr=0.05 / (nbeta * highest),
        nbeta=nbeta,
        localization=localization,
        batch_size=1,
        num_chains=4,
        num_draws=min(BUDGET, burnin + draws),
        num_burnin=burnin,
    )


def described(point: Point) -> dict:
    return {"widths": list(point.widths), "rank": point.rank, "parameters": len(point.flat)}


def row_deepest(point: Point) -> dict:
    """A singular point: the estimate at several nbeta, the exact value there, and the law fitted through the estimates.

    The law is lambda(nbeta) = lambda - (m - 1) / log(c nbeta), with m from the formula.
    """
    truth = deep_linear(point.widths, point.rank)
    rows = []
    for nbeta in (1e2, 1e3, 1e4, 1e5):
        plain, exact = hot_settings(point, nbeta, steps=8_000), hot_settings(point, nbeta, steps=60_000)
        found = llc(sample_function(loss_at(point), point.flat, settings=plain, seed=0))
        one = {"nbeta": nbeta, "ours": float(found.value), "ours_se": float(found.se)}
        if len(point.flat) <= 100:
            exact = replace(exact, lr=4 * exact.lr)
            reference = llc(sample_function(loss_at(point), point.flat, settings=exact, seed=1, kernel=mala))
            one |= {"exact": float(reference.value), "exact_se": float(reference.se)}
        rows.append(one)
    nbetas, values = np.array([r["nbeta"] for r in rows]), np.array([r["ours"] for r in rows])
    fitted = extrapolate(nbetas, values, truth.multiplicity)
    return {
        **described(point),
        "truth": truth.value,
        "multiplicity": truth.multiplicity,
        "over_nbeta": rows,
        "error_at_largest_nbeta": values[-1] / truth.value - 1,
        "fitted": fitted,
        "fitted_error": fitted / truth.value - 1,
    }


def hot_settings(point: Point, nbeta: float, steps: int) -> Settings:
    """Localization 1, and a step that is stable where the walk goes: curvatures grow with the distance from a
    singular point."""
    highest = max(curvature_range(point)[0], 2.0) + 4.0
    lr = 0.2 / (nbeta * highest)
    return Settings("HOT", lr, nbeta, 1.0, 1, num_chains=16, num_draws=steps, num_burnin=steps // 4)


def extrapolate(nbetas: np.ndarray, values: np.ndarray, multiplicity: int) -> float:
    """lambda of the law through the estimates; without logarithms (m = 1) the value at the largest nbeta."""
    if multiplicity == 1:
        return float(values[-1])

    def law(log_nbeta: np.ndarray, limit: float, shift: float) -> np.ndarray:
        return limit - (multiplicity - 1) / (log_nbeta + shift)

    (limit, _), _ = curve_fit(law, np.log(nbetas), values, p0=(values[-1] * 1.1, 1.0), bounds=([0, -4], [np.inf, 50]))
    return float(limit)


def peer(point: Point, settings: Settings, truth: float) -> dict:
    """devinterp at the same point, lr, nbeta, localization, chains and steps, on the population loss itself.

    `peer` is as shipped (burn-in averaged in); `peer_trimmed` discards it, which devinterp leaves to the user.
    """
    from deep_linear_peer import traces

    start = time.perf_counter()
    losses = traces(point, settings)
    seconds = time.perf_counter() - start
    shipped = settings.nbeta * losses.mean()
    trimmed = settings.nbeta * losses[:, settings.num_burnin :].mean()
    return {
        "peer": float(shipped),
        "peer_error": float(shipped / truth - 1),
        "peer_trimmed": float(trimmed),
        "peer_trimmed_error": float(trimmed / truth - 1),
        "peer_seconds": seconds,
    }


def jobs() -> Iterator[tuple[str, str, Callable[[], dict]]]:
    """Stratum, key and computation of every row."""
    for number, (widths, rank) in enumerate(GENERIC):
        point = generic(widths, rank, number)
        assert is_generic(point), f"{widths}, rank {rank}: not a generic point"
        yield "A", f"{widths} {rank}", lambda point=point: row_generic(point)
    for number, (widths, rank) in enumerate(DEEPEST):
        point = deepest(widths, rank, number)
        yield "B", f"{widths} {rank}", lambda point=point: row_deepest(point)
    for number, (widths, rank) in enumerate(DESCENDED):
        for rows in (None, 20):
            point = descended(widths, rank, number)
            data = None if rows is None else inputs(rows * widths[0], widths[0], number)
            yield "C", f"{widths} {rank} {rows}", lambda point=point, data=data: row_generic(point, data)


def inputs(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def summary(rows: dict[str, dict[str, dict]]) -> list[dict]:
    """The targets of stratum A, and what is reported of the others."""
    found = []
    a = list(rows["A"].values())
    errors = np.abs([row["ours_error"] for row in a])
    per_parameter = np.array([(row["ours"] / row["parameters"], row["truth"] / row["parameters"]) for row in a])
    ranks = per_parameter.argsort(0).argsort(0)
    found += [
        {"case": "A: networks", "ours": len(a), "target": 30, "met": len(a) >= 30},
        {"case": "A: median relative error", "ours": np.median(errors), "target": 0.03, "met": np.median(errors) <= 0.03},
        {"case": "A: worst relative error", "ours": errors.max(), "target": 0.10, "met": errors.max() <= 0.10},
    ]
    spearman = float(np.corrcoef(ranks.T)[0, 1])
    found.append({"case": "A: Spearman, per parameter", "ours": spearman, "target": 0.95, "met": spearman >= 0.95})
    for name in ("peer_error", "peer_trimmed_error"):
        values = np.abs([row[name] for row in a if name in row])
        if len(values):
            found.append({"case": f"A: {name}, median and worst", "peer": [np.median(values), values.max()]})
    b, c = rows["B"].values(), rows["C"].values()
    plain, fitted = ([abs(r[k]) for r in b if r["multiplicity"] > 1] for k in ("error_at_largest_nbeta", "fitted_error"))
    found.append({"case": "B: median error at the largest nbeta, m > 1", "ours": np.median(plain)})
    found.append({"case": "B: median error of the fitted law, m > 1", "ours": np.median(fitted)})
    for batch, name in ((False, "population"), (True, "minibatch")):
        values = [abs(r["ours_error"]) for r in c if (r["settings"]["batch_size"] > 1) == batch]
        found.append({"case": f"C: median relative error, {name}", "ours": np.median(values)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stratum", choices=("A", "B", "C"))
    wanted = parser.parse_args().stratum
    torch.set_num_threads(1)
    record: dict = {
        "name": "deep_linear",
        "command": "python benchmarks/deep_linear.py",
        "machine": "one core of an AMD EPYC, other work beside it",
        "details": {"A": {}, "B": {}, "C": {}},
    }
    if OUT.exists():
        record = json.loads(OUT.read_text())
    todo = [job for job in jobs() if job[0] in (wanted or job[0]) and job[1] not in record["details"][job[0]]]
    for stratum, key, compute in tqdm(todo):
        record["details"][stratum][key] = compute()
        if all(record["details"].values()):
            record["rows"] = json.loads(json.dumps(summary(record["details"]), default=lambda x: x.item()))
        tensorfile.write_json(OUT, record)
    for row in record.get("rows", []):
        print(row)


if __name__ == "__main__":
    main()
