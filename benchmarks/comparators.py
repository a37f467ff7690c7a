"""How well do gradient methods estimate path effects? Each against the exact effect of every path, with its time.

    python benchmarks/comparators.py

takes some ten minutes on one core and writes benchmarks/results/comparators.json: EAP, EAP-IG (inputs, activations),
GIM, RelP, AtP with its correction of queries and keys, and AtP* on the planted circuits (weight noise 10%, five
draws), on three tasks of mini-seed0, and on a random two-layer model with MLPs of GPT-2's shape. Of each method the
rank correlation of its magnitudes with the exact ones, the correlation of its values, the share of flagged paths (more
than a fifth away, of those with at least a hundredth of the largest effect), on plants the area under the ROC curve of
the true paths, and the time as a multiple of EAP's.
"""

import platform
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ablations import forward, models
from ablations.names import all_heads
from circuits import planted
from circuits.attributions.compare import EXACT, METHODS, compare
from circuits.curves import area_under_roc
from circuits.discover import candidates
from circuits.tasks import Task
from experiments import open_run
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.storage.files import write_json
from experiments.tasks import task_prompts

OUT = Path(__file__).parent / "results" / "comparators.json"
PLANTS = (planted.induction, planted.redundant, planted.skip_trigram, planted.brackets, planted.shared)
DRAWS, NOISE, RUN, TASKS = 5, 0.1, "mini-seed0", ("induction", "brackets", "quotes")
SIZES = {"n_layers": 2, "d_model": 64, "n_ctx": 64, "d_head": 16, "n_heads": 4, "d_vocab": 200, "d_mlp": 256}
KIND = {"attn_only": False, "act_fn": "gelu_new", "positional_embedding_type": "standard", "normalization_type": "LN"}


def numbers(table: xr.Dataset) -> dict[str, dict[str, float]]:
    """What is told of each method on one task."""
    large = int((abs(table.effect.sel(estimator=EXACT)) >= 0.01 * abs(table.effect.sel(estimator=EXACT)).max()).sum())
    times = table.seconds / float(table.seconds.sel(estimator="EAP"))
    return {
        name: {
            "rank correlation": float(table.rank_correlation.sel(estimator=name)),
            "correlation": float(table.correlation.sel(estimator=name)),
            "flagged": float(table.off.sel(estimator=name).sum()) / large,
            "time over EAP's": float(times.sel(estimator=name)),
        }
        for name in (EXACT, *METHODS)
    }


def on_plants() -> list[dict]:
    """One row a plant: the means over draws, and the worst area."""
    rows = []
    for make in PLANTS:
        found = []
        for seed in range(DRAWS):
            plant = make(noise=NOISE, seed=seed)
            weights, cfg = forward.weights_of(plant.model), plant.model.cfg
            kept = np.array([path not in plant.redundant for path in candidates(cfg)])
            for task, edges in zip(plant.tasks, plant.edges, strict=True):
                table, true = compare(weights, cfg, task), np.array([path in edges for path in candidates(cfg)])
                areas = {
                    name: area_under_roc(abs(table.effect.sel(estimator=name).values[kept]), true[kept])
                    for name in table.estimator.values.tolist()
                }
                found.append({name: one | {"area": areas[name]} for name, one in numbers(table).items()})
        rows.append({"case": f"plant {make.__name__}", "methods": _summary(found)})
    return rows


def _summary(found: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean of each number over draws and tasks; of areas the smallest."""
    return {
        name: {
            number: float((min if number == "area" else np.mean)([one[name][number] for one in found]))
            for number in found[0][name]
        }
        for name in found[0]
    }


def on_tasks() -> list[dict]:
    """One row a task of the bundled model."""
    run = open_run(RUN)
    cells = Cells(Path("results") / RUN, run, default_plan("python", 256), committed=True)
    model = run.model(run.steps[-1])
    weights = forward.weights_of(model)
    return [
        {"case": f"{RUN}, {name}", "methods": numbers(compare(weights, model.cfg, task_prompts.task(name, cells)))}
        for name in TASKS
    ]


def with_mlps() -> dict:
    """A random model's logit difference of random answers: every path has some effect."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.new(SIZES | KIND)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    drawn = torch.Generator().manual_seed(0)
    clean, corrupted = torch.randint(200, (2, 64, 32), generator=drawn)
    right, wrong = torch.randint(200, (2, 64), generator=drawn)
    table = compare(forward.weights_of(model), model.cfg, Task("random", clean, corrupted, right, wrong))
    return {"case": f"random model with MLPs, {len(all_heads(model.cfg))} heads", "methods": numbers(table)}


def main() -> None:
    torch.set_num_threads(1)
    rows = [*on_plants(), *on_tasks(), with_mlps()]
    record = {
        "name": "comparators",
        "command": "python benchmarks/comparators.py",
        "machine": f"one core, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "rows": rows,
    }
    write_json(OUT, record)
    for row in rows:
        print(row["case"])
        for name, found in row["methods"].items():
            print(f"  {name:<24}", {number: round(value, 2) for number, value in found.items()})


if __name__ == "__main__":
    main()
