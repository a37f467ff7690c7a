"""How long the susceptibilities of a checkpoint take, and what they are worth.

    python benchmarks/covariances.py

takes twelve minutes on two cores, needs no results, and writes benchmarks/results/covariances.json: all 16 heads of
mini-seed0's last checkpoint and 8,160 held-out tokens, in three ways: by chains at the papers' nbeta and localization
(shared noise, 8 chains of 25 evaluated draws), by the same at nbeta 0, and under noise by derivatives (48 draws). Of
each head: the share of tokens whose 95% interval leaves out 0, and the rank correlation over tokens of one half of the
chains, or draws, with the other; of chains with the derivatives' help (`with_chains`) the share again, and the rank
correlation with what noise alone gives. The targets are four minutes and three gigabytes.
"""

import os
import platform
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from scipy import stats

from experiments import open_run
from experiments.storage.files import write_json
from llc import Probes, Settings, leimkuhler_matthews, sample
from llc.noise_susceptibility import noise_susceptibilities, with_chains
from llc.susceptibility import jackknifed, susceptibilities

OUT = Path(__file__).parent / "results" / "covariances.json"
RUN, ROWS, TEXT, EVERY, DRAWS = "mini-seed0", 4096, 32, 2, 48
SETTINGS = Settings(
    "SUSCEPTIBILITIES", lr=5e-3, nbeta=30.0, localization=200.0, batch_size=4, num_chains=8, num_draws=56, num_burnin=6
)
GROUPS = [[f"L{layer}H{head}" for head in range(first, 8, 2)] for layer in range(2) for first in range(2)]
TIME, MEMORY = 240.0, 3.0  # seconds and gigabytes
MOMENTS = ["phi", "phi_square", "probe_rise", "probe_product"]


@cache
def _model() -> tuple:
    run = open_run(RUN)
    return run.model(run.steps[-1]), run.corpus("train").batch(slice(0, ROWS)), run.corpus("test").batch(slice(0, TEXT))


def by_chains(heads: list[str], nbeta: float) -> dict[str, xr.Dataset]:
    """What susceptibilities need of the traces of some heads of a layer."""
    model, tokens, text = _model()
    chosen = {"settings": replace(SETTINGS, nbeta=nbeta), "kernel": leimkuhler_matthews}
    traces = sample(model, tokens, heads, seed=0, probes=Probes(text, EVERY), **chosen)
    return {head: trace[MOMENTS].assign_attrs(gigabytes=_gigabytes()) for head, trace in traces.items()}


def by_derivatives(heads: list[str], seed: int) -> dict[str, xr.Dataset]:
    """Susceptibilities under noise, of half the draws."""
    model, _, text = _model()
    found = noise_susceptibilities(model, heads, Probes(text), settings=SETTINGS, seed=seed, draws=DRAWS // 2)
    return {head: one.assign_attrs(gigabytes=_gigabytes()) for head, one in found.items()}


def _gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _warm(number: int) -> int:
    """Loads the model and the text in a worker."""
    torch.set_num_threads(1)
    _model()
    return number


def timed(
    executor: ProcessPoolExecutor, measure: Callable[[list[str], Any], dict], *arguments: Any
) -> tuple[dict, float]:
    """What a measurement gives for all heads, with each of the arguments in turn, and the seconds it took."""
    start, calls = time.perf_counter(), [(group, each) for each in arguments for group in GROUPS]
    parts = list(executor.map(measure, *zip(*calls, strict=True)))
    found = {head: [part[head] for part in parts if head in part] for group in GROUPS for head in group}
    return found, time.perf_counter() - start


def both(halves: list[xr.Dataset]) -> xr.Dataset:
    """Susceptibilities from two independent halves."""
    value = (halves[0].value + halves[1].value) / 2
    return xr.Dataset(
        {name: (halves[0][name] ** 2 + halves[1][name] ** 2) ** 0.5 / 2 for name in ("se", "half_width")}
    ).assign(value=value)


def sure(found: xr.Dataset) -> float:
    """The share of tokens whose interval leaves out 0."""
    return float((abs(found.value) > found.half_width).mean())


def ranks(one: xr.DataArray, other: xr.DataArray) -> float:
    """Spearman's correlation over tokens."""
    return float(stats.spearmanr(one.values.ravel(), other.values.ravel()).statistic)


def row(head: str, trace: xr.Dataset, control: xr.Dataset, halves: list[xr.Dataset]) -> dict:
    """What the three ways say of a head."""
    noise = both(halves)
    whole, (first, second) = (
        with_chains(noise, trace, control),
        (jackknifed(trace.isel(chain=part))[0] for part in (slice(0, 4), slice(4, 8))),
    )
    return {
        "head": head,
        "chains: interval leaves out 0": sure(susceptibilities(trace)),
        "chains: halves": ranks(first, second),
        "derivatives, nbeta 0: interval leaves out 0": sure(noise),
        "derivatives, nbeta 0: halves": ranks(halves[0].value, halves[1].value),
        "both: interval leaves out 0": sure(whole),
        "both: with what noise alone gives": ranks(whole.value, noise.value),
    }


def main() -> None:
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, get_context("spawn")) as executor:
        list(executor.map(_warm, range(2 * workers)))
        traces, of_chains = timed(executor, by_chains, SETTINGS.nbeta)
        controls, _ = timed(executor, by_chains, 0.0)
        noise, of_derivatives = timed(executor, by_derivatives, 0, 1)
    rows = [row(head, *traces[head], *controls[head], noise[head]) for head in sorted(traces)]
    gigabytes = max(
        one.attrs["gigabytes"] for each in (traces, controls, noise) for many in each.values() for one in many
    )
    record = {
        "name": "covariances",
        "command": "python benchmarks/covariances.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "tokens": int(noise["L0H0"][0].value.size),
        "seconds": {"chains": of_chains, "derivatives": of_derivatives},
        "gigabytes of a process": gigabytes,
        "target": "240 s and 3 GB",
        "met": max(of_chains, of_derivatives) <= TIME and gigabytes <= MEMORY,
        "rows": rows,
    }
    write_json(OUT, record)
    print(record)


if __name__ == "__main__":
    main()
