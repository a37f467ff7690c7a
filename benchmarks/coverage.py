"""How often the 95% intervals of learning coefficients hold the truth, and how often value +- 1.96 se would.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --only quadratics
    python benchmarks/coverage.py --only tiny PAPER

takes some hours on two cores (quadratics and independent draws a few minutes), resumes from benchmarks/results/coverage
and writes benchmarks/results/coverage.json, in which the rows that `--only` selects are replaced. Four parts:

    quadratics  200 curvatures that fall like 1 / number, without and with minibatches (of rows whose factor of
                the curvature is exponential), and these with the method of Leimkuhler and Matthews (shared noise), at
                QUICK, PAPER and MINI, 1,000 repetitions; the truth is exact
    independent the same quadratic of half the curvature by independent draws, for each of the two laws, minibatches
                of one row each, 1,000 repetitions; the truth is exact
    tiny        one head of each layer of the tiny preset as trained here, at PAPER, and at MINI with shared noise,
                1,000 repetitions
    bundled     one head of each layer of mini-seed0 at its last checkpoint, at QUICK, 300 repetitions

The truth of a head is the mean of all its repetitions, known to a seventeenth of one's spread or better. The target is
93 to 97% in every row.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterator
from concurrent.futures import as_completed
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast, get_args

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from experiments import open_run
from experiments.jobs.executors import pool
from experiments.runs import presets, train
from experiments.storage.files import write_json
from llc import closed_form, engine, gaussian_moments, leimkuhler_matthews, sgld
from llc import trace as trace_module
from llc.cumulant_expansion import Law, coefficient, spread
from llc.estimate import learning_coefficient
from llc.gaussian_moments import Gaussian, OnRow
from llc.settings import MINI, NAMED, PAPER, QUICK, Settings

OUT = Path(__file__).parent / "results" / "coverage.json"
KEPT, TINY = OUT.with_suffix(""), Path("runs/tiny-seed0")
ROWS, TARGET = 4096, (0.93, 0.97)


class Case(NamedTuple):
    """One row of the result."""

    part: str
    name: str  # of the quadratic, or the head
    settings: str
    repetitions: int

    @property
    def file(self) -> Path:
        """Where its estimates are kept."""
        return KEPT / f"{self.part}_{self.name.replace(' ', '_')}_{self.settings}.json"


QUADRATICS = ("alone", "minibatches", "shared noise")
CASES = (
    *(Case("quadratics", name, one.name, 1000) for name in QUADRATICS for one in (QUICK, PAPER, MINI)),
    *(Case("independent", law, QUICK.name, 1000) for law in get_args(Law)),
    *(Case("tiny", head, one.name, 1000) for one in (MINI, PAPER) for head in ("L0H0", "L1H0")),
    *(Case("bundled", head, QUICK.name, 300) for head in ("L0H5", "L1H4")),
)


def curvatures(settings: Settings) -> np.ndarray:
    """The quadratic's, as steep to the sampler at every nbeta."""
    return 5.0 * (QUICK.nbeta / settings.nbeta) / np.arange(1, 201)


def exact(settings: Settings, name: str) -> float:
    """The mean over the kept draws of nbeta times the loss rise, by the variance of each coordinate at each draw."""
    h, variance, rises = curvatures(settings), np.zeros(200), []
    drift = settings.lr / 2 * settings.nbeta * h
    spread = 0.0 if name == "alone" else drift**2 / settings.batch_size
    keep = 1 - drift - settings.lr / 2 * settings.localization
    for draw in range(settings.num_draws):
        rises.append(settings.nbeta * (h * variance).sum() / 2)
        noise = settings.lr
        if name == "shared noise":  # half of it is that of the step before, which the draw has seen
            noise = settings.lr / 2 * (1 + (keep if draw else 0.0))
        variance = (keep**2 + spread) * variance + noise
    return float(np.mean(rises[settings.num_burnin :]))


def quadratics(case: Case) -> dict[str, list[float]]:
    """The estimates of all repetitions, side by side: each has minibatches of its own, which its chains share."""
    settings = NAMED[case.settings]
    h, rows = torch.from_numpy(curvatures(settings)), np.random.default_rng(0)
    count, stream = case.repetitions * settings.num_chains, torch.Generator().manual_seed(0)
    kernel = leimkuhler_matthews if case.name == "shared noise" else sgld
    state, drawn = kernel.init(torch.zeros(len(h), dtype=torch.float64), count), []

    def noise(size: int) -> torch.Tensor:
        return torch.randn(count, size, generator=stream, dtype=torch.float64)

    for _ in range(settings.num_draws):
        factor = torch.ones(case.repetitions, 1, dtype=torch.float64)
        if case.name != "alone":  # the mean of as many exponential factors as a minibatch has rows
            factor = torch.from_numpy(rows.gamma(settings.batch_size, 1 / settings.batch_size, factor.shape))
        batch = (factor * h).repeat_interleave(settings.num_chains, dim=0)

        def evaluate(w: torch.Tensor, gradient: bool = True, batch: torch.Tensor = batch) -> tuple:
            return (batch * w * w).sum(1) / 2, batch * w

        state, info = kernel.update(state, evaluate, settings, noise)
        drawn.append(info.loss)
    loss = torch.stack(drawn, -1).unflatten(0, (case.repetitions, -1)).numpy()
    attrs, center = {"settings": settings.to_json()}, ("draw", np.zeros(settings.num_draws))
    traces = (xr.Dataset({"loss": (("chain", "draw"), one), "center_loss": center}, attrs=attrs) for one in loss)
    return {str(number): _numbers(trace) for number, trace in enumerate(traces)}


def independent(case: Case, seed: int) -> list[float]:
    """One estimate by independent draws, as many as the default: each row multiplies the curvature by a factor."""
    h, law = torch.from_numpy(curvatures(QUICK) / 2), cast(Law, case.name)
    scale, stream, factors = spread(QUICK, law), torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    drawn = {"f": Gaussian(torch.zeros(len(h), dtype=torch.float64), scale, stream)}

    def rows(count: int) -> Iterator[OnRow]:
        for factor in factors.exponential(size=count):
            yield 0.0, {"f": lambda w, gradient=True, factor=factor: (factor * (w * w) @ h / 2, factor * w * h)}

    rises = gaussian_moments.rises(rows(400), drawn)["f"]
    return _kept(coefficient(rises, gaussian_moments.cumulants(rows(99), drawn)["f"], QUICK, law))


def many_independent(case: Case) -> dict[str, list[float]]:
    """The estimates of all repetitions, by seed."""
    torch.set_num_threads(1)
    return {str(seed): independent(case, seed) for seed in range(case.repetitions)}


def head(case: Case, seed: int) -> xr.Dataset:
    """The trace of one repetition, without its checks, which take a fifth of the time and change no draw."""
    trace_module.CHECK_EVERY = NAMED[case.settings].num_draws * 2 + 1
    model, tokens = _model("mini-seed0" if case.part == "bundled" else str(TINY))
    kernel = leimkuhler_matthews if case.settings == MINI.name else sgld
    return engine.sample(model, tokens, [case.name], settings=NAMED[case.settings], seed=seed, kernel=kernel)[case.name]


@cache
def _model(name: str) -> tuple:
    run = open_run(name)
    return run.model(run.steps[-1]), run.corpus("train").batch(slice(0, ROWS))


def heads(case: Case, seeds: list[int]) -> dict[str, list[float]]:
    """The estimates of some repetitions, by seed."""
    torch.set_num_threads(1)
    return {str(seed): _numbers(head(case, seed)) for seed in seeds}


def _numbers(trace: xr.Dataset) -> list[float]:
    """value, se, and the ends of the interval."""
    return _kept(learning_coefficient(trace))


def _kept(one: xr.Dataset) -> list[float]:
    return [float(f"{number:.6g}") for number in (one.value, one.se, *one.interval.values)]


def summary(case: Case, estimates: dict[str, list[float]]) -> dict:
    """How often the intervals of a case hold its truth."""
    every = np.array(list(estimates.values()), dtype=float)
    taken = np.isfinite(every).all(1)  # of independent draws, those that were not refused
    value, se, low, high = every[taken].T
    known = case.part in ("quadratics", "independent")
    truth = _exact(case) if known else float(value.mean())
    spread = float(value.std(ddof=1))
    held = float(np.mean((low <= truth) & (truth <= high)))
    return case._asdict() | {
        "repetitions": len(value),
        "refused": int((~taken).sum()),
        "truth": truth,
        "error of the truth, in spreads": 0.0 if known else len(value) ** -0.5,
        "coverage": held,
        "coverage of value +- 1.96 se": float(np.mean(abs(value - truth) <= 1.96 * se)),
        "root mean square of se over the spread of values": float(np.sqrt((se**2).mean()) / spread),
        "mean half width over the spread of values": float((high - low).mean() / 2 / spread),
        "met": TARGET[0] <= held <= TARGET[1],
    }


def _exact(case: Case) -> float:
    """The truth of a quadratic."""
    if case.part == "quadratics":
        return exact(NAMED[case.settings], case.name)
    h = curvatures(QUICK) / 2
    if case.name == "sgld":
        return closed_form.quadratic(h, QUICK)
    return float((QUICK.nbeta * h / (QUICK.nbeta * h + QUICK.localization)).sum() / 2)


def jobs(cases: list[Case], kept: dict[Case, dict]) -> Iterator[tuple]:
    """What is missing: a case, what measures it, and with which arguments; a few seeds of a head at a time."""
    for case in cases:
        missing = [seed for seed in range(case.repetitions) if str(seed) not in kept[case]]
        if case.part == "quadratics":
            yield from [(case, quadratics, case)] * bool(missing)
        elif case.part == "independent":
            yield from [(case, many_independent, case)] * bool(missing)
        else:
            yield from ((case, heads, case, missing[at : at + 5]) for at in range(0, len(missing), 5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], help="cases of this part, head or settings alone")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    cases = [case for case in CASES if set(arguments.only) <= set(case)]
    if not cases:
        parser.error(
            f"no case is called {' and '.join(arguments.only)}: give a part, head or settings such as tiny PAPER"
        )
    if any(case.part == "tiny" for case in cases) and not (TINY / "config.json").exists():
        train.train(presets.get("tiny"), 0, 2, TINY)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = {case: json.loads(case.file.read_text()) if case.file.exists() else {} for case in cases}
    with pool(arguments.workers) as executor:
        futures = {executor.submit(*call): case for case, *call in jobs(cases, kept)}
        for future in tqdm(as_completed(futures), total=len(futures)):
            case = futures[future]
            kept[case] |= future.result()
            write_json(case.file, kept[case])
    others = json.loads(OUT.read_text())["rows"] if OUT.exists() else []
    order = {case[:3]: place for place, case in enumerate(CASES)}
    rows = [row for row in others if (row["part"], row["name"], row["settings"]) not in {case[:3] for case in cases}]
    rows += [summary(case, kept[case]) for case in cases]
    record = {
        "name": "coverage",
        "command": "python benchmarks/coverage.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "target": "93 to 97%",
        "rows": sorted(rows, key=lambda row: order[row["part"], row["name"], row["settings"]]),
    }
    write_json(OUT, record)
    for row in record["rows"]:
        print(row)


if __name__ == "__main__":
    main()
