"""Learning coefficients of deep linear networks against their exact values, ours and devinterp 2.0.1's.

    python benchmarks/deep_linear.py

Strata, in rows of their own (benchmarks/results/deep_linear.json):
A  generic points of the top-dimensional stratum, where the coefficient is half the rank of the Jacobian. At these
   settings the posterior is Gaussian, so A tests only that a sampler counts a Hessian's rank. devinterp stands beside.
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
from functools import partial
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
    smallest_curvature,
)
from scipy.optimize import curve_fit
from torch import Tensor
from tqdm import tqdm

from experiments.settings.deep_linear.gibbs import trace as gibbs
from experiments.storage.files import write_json
from llc import mala
from llc.chains import sample_function
from llc.closed_form import Coefficient, deep_linear
from llc.diagnose import health
from llc.estimate import learning_coefficient
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


def row_generic(point: Point, minibatch: Tensor | None = None, lowest: float | None = None) -> dict:
    """A point whose coefficient is half its Jacobian's rank; lowest: its smallest curvature, where that is known."""
    rank, width = jacobian_rank(point), max(point.widths)
    settings = cold_settings(point, rank, 100.0 * width, lowest)
    data, loss = None, loss_at(point)
    if minibatch is not None:
        data, settings = minibatch, replace(settings, batch_size=len(minibatch) // 4)
    start = time.perf_counter()
    while True:
        found = learning_coefficient(sample_function(loss, point.flat, settings=settings, seed=0, data=data))
        off = float(found.se / found.value) / TARGET_ERROR
        if off < 1 or settings.num_draws == BUDGET:
            break
        kept = settings.num_draws - settings.num_burnin
        settings = replace(settings, num_draws=min(BUDGET, settings.num_burnin + int(kept * max(1.3, 1.2 * off**2))))
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
    if lowest is None and importlib.util.find_spec("devinterp"):
        row |= peer(point, settings, truth)
    return row


def cold_settings(point: Point, rank: int, localization: float, lowest: float | None) -> Settings:
    """nbeta 1000 times the localization, lr nbeta h_max = 0.05, draws for a standard error of 1%."""
    highest, bound = curvature_range(point)
    nbeta = 1000 * localization
    slowest = 40 * highest / (lowest or bound)  # steps in which the slowest curved direction relaxes: 2 / (lr nbeta h)
    burnin = int(min(2 * slowest, BUDGET / 4))
    typical = 40  # integrated autocorrelation of the rise, in draws, where all curvatures are alike
    draws = max(200, int(typical * 2 / rank / TARGET_ERROR**2 / 4))
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

    The law is lambda(nbeta) = lambda - (m - 1) / log(c nbeta), with m from the formula, fitted through the nbeta whose
    chains the virial ratio does not forbid. The exact values are Gibbs samples of the same posterior; below 100
    parameters MALA stands beside them at the nbeta where it mixes.
    """
    truth, loss = deep_linear(point.widths, point.rank), loss_at(point)
    rows = []
    for nbeta in (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0):
        plain = hot_settings(point, nbeta)
        found = health(sample_function(loss, point.flat, settings=plain, seed=0))
        exact = learning_coefficient(
            gibbs(point.factors, replace(plain, num_chains=24, num_draws=1500, num_burnin=300), seed=1)
        )
        one = {"nbeta": nbeta, "ours": found.value, "ours_se": found.se, "virial": found.virial}
        one |= {"exact": exact.value, "exact_se": exact.se}
        if len(point.flat) <= 100 and nbeta <= 100:
            adjusted = learning_coefficient(sample_function(loss, point.flat, settings=plain, seed=2, kernel=mala))
            one |= {"mala": adjusted.value, "mala_se": adjusted.se}
        rows.append({name: float(value) for name, value in one.items()})
    fit = [row for row in rows if abs(row["virial"] - 1) < 0.05]
    last, fitted = fit[-1], extrapolate(fit, "ours", truth)
    return {
        **described(point),
        "truth": truth.value,
        "multiplicity": truth.multiplicity,
        "over_nbeta": rows,
        "largest_stationary_nbeta": last["nbeta"],
        "plain_error": last["ours"] / truth.value - 1,
        "plain_error_at_largest_nbeta": rows[-1]["ours"] / truth.value - 1,
        "fitted": fitted,
        "fitted_error": fitted / truth.value - 1,
        "fitted_exact_error": extrapolate(rows, "exact", truth) / truth.value - 1,
    }


def hot_settings(point: Point, nbeta: float) -> Settings:
    """Localization 1, and a step that is stable where the walk goes: curvatures grow away from a singular point."""
    lr = 0.2 / (nbeta * (max(curvature_range(point)[0], 2.0) + 4.0))
    return Settings("HOT", lr, nbeta, 1.0, 1, num_chains=16, num_draws=6_000, num_burnin=2_000)


def extrapolate(rows: list[dict], name: str, truth: Coefficient) -> float:
    """lambda of the law through values over nbeta; where m = 1 it has no logarithm: the value at the largest nbeta."""
    if truth.multiplicity == 1:
        return rows[-1][name]
    logs, values = np.log([row["nbeta"] for row in rows]), np.array([row[name] for row in rows])

    def law(log_nbeta: np.ndarray, limit: float, shift: float) -> np.ndarray:
        return limit - (truth.multiplicity - 1) / (log_nbeta + shift)

    (limit, _), _ = curve_fit(law, logs, values, p0=(values[-1] * 1.1, 1.0), bounds=([0, -2], [np.inf, 50]))
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
        yield "A", f"{widths} {rank}", partial(row_generic, point)
    for number, (widths, rank) in enumerate(DEEPEST):
        point = deepest(widths, rank, number)
        yield "B", f"{widths} {rank}", partial(row_deepest, point)
    for number, (widths, rank) in enumerate(DESCENDED):
        point = descended(widths, rank, number)
        for rows in (None, 20):
            data = None if rows is None else inputs(rows * widths[0], widths[0], number)
            lowest = smallest_curvature(point)
            yield "C", f"{widths} {rank} {rows}", partial(row_generic, point, data, lowest)


def inputs(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def summary(rows: dict[str, dict[str, dict]]) -> list[dict]:
    """The targets of stratum A, and what is reported of the others."""
    found = []
    a = list(rows["A"].values())
    errors = np.abs([row["ours_error"] for row in a])
    per_parameter = np.array([(row["ours"] / row["parameters"], row["truth"] / row["parameters"]) for row in a])
    ranks = per_parameter.argsort(0).argsort(0)
    spearman = float(np.corrcoef(ranks.T)[0, 1])
    targets = [
        ("networks", len(a), 30, len(a) >= 30),
        ("median relative error", np.median(errors), 0.03, np.median(errors) <= 0.03),
        ("worst relative error", errors.max(), 0.10, errors.max() <= 0.10),
        ("Spearman, per parameter", spearman, 0.95, spearman >= 0.95),
    ]
    found += [{"case": f"A: {case}", "ours": ours, "target": target, "met": met} for case, ours, target, met in targets]
    for name in ("peer_error", "peer_trimmed_error"):
        values = np.abs([row[name] for row in a if name in row])
        if len(values):
            found.append({"case": f"A: {name}, median and worst", "peer": [np.median(values), values.max()]})
    b, c = rows["B"].values(), rows["C"].values()
    cases = {
        "plain_error_at_largest_nbeta": "of plain SGLD at the largest nbeta",
        "plain_error": "of plain SGLD at the largest nbeta where it is stationary",
        "fitted_error": "of the law fitted through plain SGLD",
        "fitted_exact_error": "of the law fitted through the exact values",
    }
    for name, case in cases.items():
        values = [abs(r[name]) for r in b if r["multiplicity"] > 1]
        found.append({"case": f"B: median error {case}, m > 1", "ours": np.median(values)})
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
        if sum(map(len, record["details"].values())) == len(GENERIC) + len(DEEPEST) + 2 * len(DESCENDED):
            record["rows"] = json.loads(json.dumps(summary(record["details"]), default=lambda x: x.item()))
        write_json(OUT, record)
    for row in record.get("rows", []):
        print(row)


if __name__ == "__main__":
    main()
