"""Do independent draws give the coefficients that chains give, and how long do all heads of a checkpoint take?

    python benchmarks/independent.py

needs no results. The first part holds draws against the committed sweep of mini-seed0 (QUICK, 40 kept draws of 2
chains): of the law that chains sample, for all 16 heads of three checkpoints, by weights, by data (code) and by the
reference model. z is the difference over what half the widths of both 95% intervals say. All cells of the sweep share
one set of 140 rows, so the differences are correlated: each is judged alone. The second part takes long chains on one
row of text, where nothing but the draws is random, and where the model is no minimum, so that a quarter is subtracted.
The third takes all heads of the last checkpoint to 2% median standard error, the layers side by side in two processes.
Takes ten minutes on two cores, and writes benchmarks/results/independent.json.
"""

import math
import os
import platform
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments import open_run
from experiments.measurements.rllc import RLLC, sampling_loss
from experiments.measurements.variants import CODE, MAIN, RELATIVE, in_way
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.storage.files import write_json
from llc import QUICK, engine, independent_draws, learning_coefficient
from llc.intervals import half_widths

OUT = Path(__file__).parent / "results" / "independent.json"
RUN, STEPS, DRAWS = "mini-seed0", (4800, 11000, 28000), 400
LONG = replace(QUICK, batch_size=1, num_chains=4, num_draws=1000)
FAST = 180  # draws that reach the second part's error
TARGET_SECONDS, TARGET_ERROR = 20.0, 0.02


def cells(way: str) -> Cells:
    """The committed measurements of one way of refining."""
    run = open_run(RUN)
    plan = default_plan("python", run.config["model"]["n_ctx"])
    return in_way(Cells(Path("results") / "independent", run, plan, committed=True), way)


def heads(layer: int) -> list[str]:
    """The heads of a layer."""
    return [f"L{layer}H{head}" for head in range(8)]


def compare(way: str, step: int) -> list[dict]:
    """Both estimates of every head of a checkpoint."""
    warnings.simplefilter("ignore")  # refusals are in the rows
    found = cells(way)
    inputs, chains = found.inputs, found.table(RLLC).sel(step=step)
    drawn = independent_draws(
        inputs.model(step),
        inputs.sampled,
        heads(0) + heads(1),
        settings=found.plan.llc,
        seed=0,
        loss=sampling_loss(inputs, step),
        law="sgld",
        draws=DRAWS,
    )
    rows = []
    for name, own in drawn.items():
        chain = chains.sel(restriction=name)
        row: dict[str, Any] = {"way": way, "step": step, "head": name}
        row |= {"chains": float(chain.value), "draws": float(own.value), "tilt": float(own.tilt)}
        widths = (float(half_widths(chain)), float(own.interval[1] - own.value))
        row |= {"chains' half width": widths[0], "draws' half width": widths[1]}
        row["z"] = 1.96 * (row["draws"] - row["chains"]) / math.hypot(*widths)
        rows.append(row)
    return rows


def on_one_row(row: int) -> list[dict]:
    """Both estimates of two heads on one row of text."""
    inputs = cells(MAIN).inputs
    model, tokens, names = inputs.model(STEPS[1]), inputs.sampled[row : row + 1], ["L1H0", "L1H5"]
    drawn = independent_draws(model, tokens, names, settings=QUICK, seed=1, law="sgld", draws=6 * DRAWS)
    traces = engine.sample(model, tokens, names, settings=LONG, seed=1)
    rows = []
    for name, own in drawn.items():
        chain = learning_coefficient(traces[name])
        found: dict[str, Any] = {"row of text": row, "head": name}
        found |= {"chains": float(chain.value), "chains' se": float(chain.se)}
        found |= {
            "draws": float(own.value),
            "draws' se": float(own.se),
            "without the correction": float(own.noise_value),
        }
        found["z"] = (found["draws"] - found["chains"]) / math.hypot(found["chains' se"], found["draws' se"])
        rows.append(found)
    return rows


def layer_alone(layer: int) -> list[float]:
    """Standard errors of a layer's heads as shares of their values, at the last checkpoint."""
    warnings.simplefilter("ignore")
    inputs = cells(MAIN).inputs
    drawn = independent_draws(inputs.model(STEPS[-1]), inputs.sampled, heads(layer), settings=QUICK, seed=0, draws=FAST)
    return [float(np.hypot(one.noise_se, one.tilt_se) / (one.noise_value - one.tilt)) for one in drawn.values()]


def summary(rows: list[dict]) -> dict:
    """What the differences are, refused heads apart."""
    z = np.array([row["z"] for row in rows])
    taken = z[np.isfinite(z)]
    return {
        "heads": len(rows),
        "refused": int((~np.isfinite(z)).sum()),
        "largest abs z": float(abs(taken).max()),
        "root mean square of z": float(np.sqrt((taken**2).mean())),
        "share within 1.96": float((abs(taken) <= 1.96).mean()),
    }


def main() -> None:
    cells(MAIN).inputs.sampled  # noqa: B018  text is tokenised once, before it is asked for in two processes
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        pairs = [(way, step) for way in (MAIN, CODE, RELATIVE) for step in STEPS]
        rows = [row for part in executor.map(compare, *zip(*pairs, strict=True)) for row in part]
        exact = [row for part in executor.map(on_one_row, (0, 7)) for row in part]
        list(executor.map(layer_alone, (0, 1)))  # both processes have imported and read by now
        start = time.perf_counter()
        errors = [error for part in executor.map(layer_alone, (0, 1)) for error in part]
        seconds = time.perf_counter() - start
    record = {
        "name": "independent",
        "command": "python benchmarks/independent.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "agreement": {way: summary([row for row in rows if row["way"] == way]) for way in (MAIN, CODE, RELATIVE)},
        "all heads of a checkpoint": {
            "draws": FAST,
            "median standard error": float(np.median(errors)),
            "seconds": seconds,
            "target": f"{TARGET_SECONDS:g} s to {TARGET_ERROR:.0%}",
            "met": seconds <= TARGET_SECONDS and float(np.median(errors)) <= TARGET_ERROR,
        },
        "one row of text": exact,
        "rows": rows,
    }
    write_json(OUT, record)
    print({name: value for name, value in record.items() if name != "rows"})


if __name__ == "__main__":
    main()
