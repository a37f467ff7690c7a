"""Do the five tests of a circuit hold for circuits that are known, and not for what is none? On the planted models.

    python benchmarks/hypotheses.py

takes some ten minutes on two cores and writes benchmarks/results/hypotheses.json. For each of the ten plants (five,
with and without layer norms) at weight noise 0, 5 and 10% and each of its tasks, over draws of the noise and prompts:

    true         its circuit (of the redundant plant one of its two ways): how often each hypothesis holds; where one
                 does not, that is a false alarm
    too many     the circuit and one path more, at random: how often minimality is refused
    wrong        a path of the circuit in place of which another stands, at random: how often sufficiency is refused
    random       as many paths at random, none of them the circuit's: how often each is refused

and stability: how often the paths that pass on all prompts and on 80% of resamples are the circuit (of paths of which
any one is enough, which patching one after another cannot find, none has to be there); and rivals: how
often one is found that shares no path with the circuit (of the redundant plant: with the way that is given, so that
the other way is one but for what both share). Prompts are 64, too few to show equivalence where weights are noisy.
"""

import argparse
import os
import platform
from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path as File

import numpy as np
import torch
from tqdm import tqdm

from ablations import forward
from ablations.paths import Path
from circuits import planted
from circuits.circuit_hypotheses import hypotheses
from circuits.discover import candidates, exact, significant
from circuits.planted import Plant
from circuits.rivals import rivals
from circuits.stability import STABLE, stability
from circuits.tasks import Task
from experiments.jobs.executors import pool
from experiments.storage.files import write_json

OUT = File(__file__).parent / "results" / "hypotheses.json"
NOISES, DRAWS, SETS = (0.0, 0.05, 0.1), 5, 60
OTHER_WAY = 3  # the previous-token head of the redundant plant's second way
Case = tuple[int, bool, float, int]  # plant, layer norms, noise, seed


def one(case: Case) -> list[dict]:
    """What is told of each task of one plant."""
    torch.set_num_threads(1)
    number, layer_norm, noise, seed = case
    plant = planted.PLANTS[number](layer_norm, noise, seed)
    return [of_task(plant, task, edges, seed) for task, edges in zip(plant.tasks, plant.edges, strict=True)]


def of_task(plant: Plant, task: Task, edges: frozenset[Path], seed: int) -> dict:
    """Which hypotheses hold, of the circuit and of what is none; and what is stable, and rivals."""
    weights, cfg, generator = forward.weights_of(plant.model), plant.model.cfg, np.random.default_rng(seed)
    every = candidates(cfg)
    circuit = sorted((path for path in edges if (0, OTHER_WAY) not in path[:2]), key=str)
    others = [path for path in every if path not in edges]

    def drawn(count: int) -> list[Path]:
        return [others[at] for at in generator.permutation(len(others))[:count]]

    def holds(paths: Sequence[Path]) -> dict[str, bool]:
        return hypotheses(weights, cfg, task, paths, draws=SETS, seed=seed).holds()

    replaced = [*circuit]
    replaced[int(generator.integers(len(circuit)))] = drawn(1)[0]
    again = stability(weights, cfg, task, seed=seed)
    passed = significant(exact(weights, cfg, task, every).p)
    reported = {path for path, p, often in zip(every, passed, again.frequency, strict=True) if p and often >= STABLE}
    needed = set(edges) - plant.redundant  # of the others any one can be patched without loss
    found = rivals(weights, cfg, task, circuit)
    return {
        "task": task.name,
        "true": holds(circuit),
        "too many": holds([*circuit, *drawn(1)]),
        "wrong": holds(replaced),
        "random": holds(drawn(len(circuit))),
        "stable": needed <= reported <= set(edges),
        "missed": len(needed - reported),
        "added": len(reported - set(edges)),
        "disjoint rival": found.disjoint.found,
        "rival without the strongest": found.without_strongest.found,
    }


def rates(found: list[dict]) -> dict:
    """Shares of the draws."""
    names = list(found[0]["true"])
    held = {name: float(np.mean([each["true"][name] for each in found])) for name in names}
    refused = {
        what: {name: float(np.mean([not each[what][name] for each in found])) for name in kept}
        for what, kept in (("too many", ["minimality"]), ("wrong", ["minimality", "sufficiency"]), ("random", names))
    }
    single = ("stable", "missed", "added", "disjoint rival", "rival without the strongest")
    return {"draws": len(found), "true circuit holds": held, "refused": refused} | {
        name: float(np.mean([each[name] for each in found])) for name in single
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--draws", type=int, default=DRAWS, help="of noise and prompts, for each plant")
    arguments = parser.parse_args()
    cases = [
        (number, layer_norm, noise, seed)
        for number in range(len(planted.PLANTS))
        for layer_norm in (False, True)
        for noise in NOISES
        for seed in range(arguments.draws)
    ]
    told: dict[tuple, list[dict]] = {}
    with pool(arguments.workers) as executor:
        futures = {executor.submit(one, case): case for case in cases}
        for future in tqdm(as_completed(futures), total=len(futures)):
            number, layer_norm, noise, _ = futures[future]
            for each in future.result():
                told.setdefault((number, each["task"], layer_norm, noise), []).append(each)
    rows = [
        {
            "case": f"{planted.PLANTS[number].__name__}, {task}, {'with' if norm else 'without'} layer norms",
            "noise": noise,
        }
        | rates(found)
        for (number, task, norm, noise), found in sorted(told.items())
    ]
    by_noise = {
        str(noise): rates([each for key, of in told.items() if key[3] == noise for each in of]) for noise in NOISES
    }
    record = {
        "name": "hypotheses",
        "command": "python benchmarks/hypotheses.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "target": "true circuits are refused in at most 5% and two standard errors; what is none in 90%, to 5% noise",
        "all plants, by noise": by_noise,
        "rows": rows,
    }
    write_json(OUT, record)
    for noise, row in by_noise.items():
        print(noise, row)


if __name__ == "__main__":
    main()
