"""Time of one step of one chain on all cores: ours against devinterp 2.0.1, same model, data, batch and posterior.

    python benchmarks/speed.py

needs the `peers` extra; takes half an hour on two idle cores and writes benchmarks/results/speed.json. Both sides
run as a sweep does, one process of one thread for each core at the same time, head after head in turn. devinterp: steps
5 to 24 of one chain (its loss at the center, set-up and storage left out). Ours: 20 draws of 4 chains of all heads of a
layer, with set-up, center loss and checks. devinterp loses much time to memory that glibc returns to the system and
fetches again page by page, so both sides are timed a second time, on fewer heads, with glibc told to keep it.
"""

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple

import numpy as np
import torch
from datasets import Dataset
from devinterp.slt.config import SAMPLING_METHODS
from devinterp.slt.lm_loss import make_evaluate_fn
from devinterp.slt.sampler import sample_single_chain
from devinterp.slt.weight_restrictions import create_param_masks
from devinterp_oracle import KEPT
from transformer_lens import HookedTransformer

from experiments import runs
from experiments.runs import presets
from experiments.storage.files import write_json
from llc import engine
from llc.estimate import learning_coefficient
from llc.settings import PAPER

OUT = Path(__file__).parent / "results" / "speed.json"
TARGETS = {"first": 6.0, "last": 15.0}
POSTERIOR = {"nbeta": PAPER.nbeta, "lr": PAPER.lr, "localization": PAPER.localization}
PRECISIONS: tuple[engine.Precision, ...] = ("fp32", "bf16")
WARM = 4  # steps of devinterp that do not count


class Case(NamedTuple):
    """What is timed: a model, rows to draw minibatches from, heads of each layer, and steps of either side."""

    model: HookedTransformer
    tokens: torch.Tensor
    heads: int
    steps: int


def bundled(heads: int = 8) -> Case:
    run = runs.open_run("mini-seed0")
    return Case(run.model(run.steps[-1]), run.corpus("train").batch(slice(0, 1024)), heads, 20)


def paper() -> Case:
    """The paper's size and context, one head a layer: fresh weights and random tokens do the same work."""
    model = presets.build(presets.PRESETS["paper"], 0, 2).eval()
    tokens = torch.randint(model.cfg.d_vocab, (64, model.cfg.n_ctx), generator=torch.Generator().manual_seed(0))
    return Case(model, tokens, 1, 4)


CASES: dict[str, tuple[Callable[[], Case], dict[str, str]]] = {
    "bundled": (bundled, {}),
    "bundled, memory kept": (partial(bundled, 2), KEPT),
    "paper's size": (paper, {}),
}


def devinterp_step(case: Case, head: str) -> float:
    """Seconds of a step of one chain of devinterp, as `devinterp.slt.sampling.sample` runs it."""
    data = Dataset.from_dict({"input_ids": case.tokens.tolist()}).with_format("torch")
    ends: list[float] = []
    with redirect_stderr(io.StringIO()):
        sample_single_chain(
            ref_model=case.model.requires_grad_(True),
            dataset=data,
            evaluate=make_evaluate_fn(None),
            param_masks=create_param_masks(case.model, head.lower()),
            num_draws=WARM + case.steps,
            sampling_method=SAMPLING_METHODS["sgmcmc_sgld"],
            sampling_method_kwargs=POSTERIOR,
            seed=0,
            dataloader_seed=0,
            callbacks=[lambda **_: ends.append(time.perf_counter())],
            batch_size=PAPER.batch_size,
        )
    return (ends[-1] - ends[WARM - 1]) / case.steps


def our_step(case: Case, heads: list[str], precision: engine.Precision = "fp32") -> tuple[float, list[tuple]]:
    """Seconds of a step of one chain of ours, and the estimates with their standard errors."""
    chosen = replace(PAPER, num_draws=case.steps, num_burnin=0)
    start = time.perf_counter()
    traces = engine.sample(case.model, case.tokens, heads, settings=chosen, seed=0, precision=precision)
    seconds = (time.perf_counter() - start) / (len(heads) * chosen.num_chains * chosen.num_draws)
    found = [learning_coefficient(trace) for trace in traces.values()]
    return seconds, [(float(one.value), float(one.se)) for one in found]


def measure(case: Case, layer: int) -> dict:
    """All heads of one layer; ours amid devinterp's."""
    torch.set_num_threads(1)
    heads = [f"L{layer}H{head}" for head in range(case.heads)]
    half = (len(heads) + 1) // 2
    peer = [devinterp_step(case, head) for head in heads[:half]]
    ours, _ = our_step(case, heads)
    peer += [devinterp_step(case, head) for head in heads[half:]]
    # bf16 on two heads, against fp32 on the same two
    (plain, exact), (bf16, rounded) = (our_step(case, heads[:2], precision) for precision in PRECISIONS)
    change = max(abs(a[0] - b[0]) / a[1] for a, b in zip(exact, rounded, strict=True))
    return {"peer": peer, "ours": ours, "bf16": bf16 / plain, "change": change}


def row(name: str, layer: str, found: list[dict]) -> dict:
    """Means over processes and heads, and the range of the ratio that single timings give; seconds on all cores."""
    peer = np.array([head for one in found for head in one["peer"]]) / len(found)
    ours = np.array([one["ours"] for one in found]) / len(found)
    ratio = float(peer.mean() / ours.mean())
    return {
        "case": f"{name}, {layer} layer",
        "peer": float(peer.mean()),
        "ours": float(ours.mean()),
        "ratio": ratio,
        "range": [float(peer.min() / ours.max()), float(peer.max() / ours.min())],
        "target": TARGETS[layer],
        "met": ratio >= TARGETS[layer],
        "bf16": {
            "time over that of fp32": float(np.mean([one["bf16"] for one in found])),
            "largest change of an LLC, in standard errors": max(one["change"] for one in found),
        },
    }


def in_processes(case: str, layer: int) -> list[dict]:
    """The same measurement in as many processes as cores, at the same time."""
    command = [sys.executable, __file__, "--only", case, str(layer)]
    environment = os.environ | CASES[case][1]
    running = [Popen(command, env=environment, stdout=PIPE, text=True) for _ in range(os.cpu_count() or 1)]
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"{case}: a process failed; its error stands above")
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs=2, metavar=("CASE", "LAYER"), help="print one measurement of one process")
    only = parser.parse_args().only
    if only:
        print(json.dumps(measure(CASES[only[0]][0](), int(only[1]))))
        return
    record: dict = {
        "name": "speed",
        "command": "python benchmarks/speed.py",
        "machine": "2 cores of an AMD EPYC, nothing beside it",
        "unit": "seconds of one step of one chain on both cores, batch 32",
        "rows": [],
    }
    for case in CASES:
        for layer, name in enumerate(TARGETS):
            record["rows"].append(row(case, name, in_processes(case, layer)))
            print(record["rows"][-1], flush=True)
            write_json(OUT, record)


if __name__ == "__main__":
    main()
