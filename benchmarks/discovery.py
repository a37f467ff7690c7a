"""How long it takes to know a model's circuits, from nothing, on the bundled model.

    python benchmarks/discovery.py [CASE ...]

takes six minutes on 2 cores and writes benchmarks/results/discovery.json; of some cases alone, by a word of their
names, it leaves the others' rows as they are. Verbs are timed as whole processes with an empty results folder;
composition is every pair of heads of one checkpoint with both baselines.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ablations import forward
from circuits import composition
from experiments import runs
from experiments.storage.files import read_json, write_json

OUT = Path(__file__).parent / "results" / "discovery.json"
VERBS = {
    "types of all heads over 500,000 tokens": (["types"], 120.0),
    "discovery of the induction circuit": (["circuit", "--task", "induction"], 60.0),
    "the same, with rivals and curves of faithfulness": (["circuit", "--task", "induction", "--thorough"], 180.0),
}


def composition_seconds() -> float:
    model = runs.open_run("mini-seed0").model(28000)
    weights = forward.weights_of(model)
    start = time.perf_counter()
    composition.composition(weights, model.cfg)
    composition.random_baseline(model.cfg)
    composition.spectral_baseline(weights, model.cfg)
    return time.perf_counter() - start


def verb_seconds(arguments: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments", *arguments, "--out", folder, "--workers", "2"]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    _ = runs.open_run("mini-seed0").corpus("test"), runs.open_run("mini-seed0").corpus("train")  # built once a machine
    cases: dict[str, tuple[Callable[[], float], float]] = {"composition of a checkpoint": (composition_seconds, 1.0)}
    cases |= {case: (partial(verb_seconds, arguments), target) for case, (arguments, target) in VERBS.items()}
    rows = {row["case"]: row for row in read_json(OUT)["rows"]} if sys.argv[1:] else {}
    for case, (seconds_of, target) in cases.items():
        if not sys.argv[1:] or any(word in case for word in sys.argv[1:]):
            seconds = seconds_of()
            rows[case] = {"case": case, "seconds": round(seconds, 2), "target": target, "met": seconds < target}
            print(rows[case])
    record = {"name": "discovery", "command": "python benchmarks/discovery.py", "machine": "2 cores of an AMD EPYC"}
    write_json(OUT, record | {"rows": [rows[case] for case in cases if case in rows]})


if __name__ == "__main__":
    main()
