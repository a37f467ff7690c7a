"""How well do gradient methods estimate path effects? Each against the exact effect of every path, with its time.

    python benchmarks/comparators.py

takes some twenty minutes on a core of its own and writes benchmarks/results/comparators.json: EAP, EAP-IG (inputs,
activations), CEAP, GIM, RelP, AtP with its correction of queries and keys, AtP*, the sizes of what sources write as
targets read it, and an order at random, on the planted circuits (weight noise 10%, five draws), on three tasks of
mini-seed0, and on two models with MLPs: the planted induction circuit among random MLPs (five draws), and a random
two-layer model of GPT-2's shape. Of each method the rank correlation of its magnitudes with the exact ones, the
correlation of its values, the share of estimates that are off (more than a fifth away, of paths with at least a
hundredth of the largest effect), CMD at MIB's sizes where the task can be patched away, on plants the area under the
ROC curve of the true paths, and the time as a multiple of EAP's; other work on the machine makes times noisy.

Of the second-order flag on EAP: of the paths that count, how many estimates are off, how many are flagged, and both;
precision is the share of flagged ones that are off, recall the share of those off that are flagged.
"""

import platform
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from ablations import forward, models
from ablations.forward import Weights
from ablations.models import Config, Model
from ablations.names import all_heads
from circuits import planted
from circuits.attributions.compare import EXACT, compare
from circuits.attributions.magnitudes import magnitudes
from circuits.curves import area_under_roc, curve, mib_sizes
from circuits.discover import candidates
from circuits.planted import Plant
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
SIZE, RANDOM = "path magnitude", "random"
MLP_WRITES = 0.1  # the standard deviation of what a planted circuit's random MLPs write, to each dimension
Row = dict[str, dict[str, float]]


def row(weights: Weights, cfg: Config, task: Task, seed: int = 0) -> tuple[Row, dict[str, float], xr.Dataset]:
    """What is told of each method on one task, what is told of the flag, and the table itself."""
    paths = candidates(cfg)
    others = {
        SIZE: magnitudes(weights, cfg, task, paths).effect.mean(1),
        RANDOM: np.random.default_rng(seed).standard_normal(len(paths)),
    }
    table = compare(weights, cfg, task, others=others)
    true = abs(table.effect.sel(estimator=EXACT).values)
    counts = true >= 0.01 * true.max()
    times = table.seconds / float(table.seconds.sel(estimator="EAP"))
    methods = {}
    for name in table.estimator.values.tolist():
        methods[name] = {
            "rank correlation": float(table.rank_correlation.sel(estimator=name)),
            "CMD": curve(weights, cfg, task, _sizes(table, name), sizes=mib_sizes(len(paths))).cmd,
        }
        if name not in others:
            methods[name] |= {
                "correlation": float(table.correlation.sel(estimator=name)),
                "off": float(table.off.sel(estimator=name).sum() / counts.sum()),
                "time over EAP's": float(times.sel(estimator=name)),
            }
    off, flag = table.off.sel(estimator="EAP").values, table.flag.values & counts
    told = {"paths": counts.sum(), "off": off.sum(), "flagged": flag.sum(), "both": (off & flag).sum()}
    time = float(table.flag_seconds / table.seconds.sel(estimator="EAP"))
    return methods, {name: int(value) for name, value in told.items()} | {"time over EAP's": time}, table


def _sizes(table: xr.Dataset, name: str) -> np.ndarray:
    return abs(table.effect.sel(estimator=name).values)


def on_plant(plant: Plant, model: Model, seed: int) -> list[tuple[Row, dict[str, float]]]:
    """Of each of its tasks; model: the plant's, or one that has its weights."""
    found = []
    weights, cfg = forward.weights_of(model), model.cfg
    kept = np.array([path not in plant.redundant for path in candidates(cfg)])
    for task, edges in zip(plant.tasks, plant.edges, strict=True):
        methods, flag, table = row(weights, cfg, task, seed)
        true = np.array([path in edges for path in candidates(cfg)])
        for name, one in methods.items():
            one["area"] = area_under_roc(_sizes(table, name)[kept], true[kept])
        found.append((methods, flag))
    return found


def on_plants() -> list[dict]:
    """One row a plant: the means over draws, and the worst area."""
    rows = []
    for make in PLANTS:
        plants = [make(noise=NOISE, seed=seed) for seed in range(DRAWS)]
        found = [one for seed, plant in enumerate(plants) for one in on_plant(plant, plant.model, seed)]
        rows.append(_summary(f"plant {make.__name__}", found))
    plants = [planted.induction(noise=NOISE, seed=seed) for seed in range(DRAWS)]
    found = [one for seed, plant in enumerate(plants) for one in on_plant(plant, _with_mlps(plant, seed), seed)]
    return [*rows, _summary("plant induction among random MLPs", found)]


def _with_mlps(plant: Plant, seed: int) -> Model:
    """The plant's weights, with a random MLP in each layer."""
    cfg = plant.model.cfg
    names = ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_vocab", "normalization_type")
    fields = {name: getattr(cfg, name) for name in (*names, "positional_embedding_type")}
    d_mlp = 4 * cfg.d_model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.new(fields | {"attn_only": False, "act_fn": "gelu_new", "d_mlp": d_mlp})
        model.load_state_dict(plant.model.state_dict(), strict=False)
        for name, parameter in model.named_parameters():
            if "mlp.W" in name:
                scale = cfg.d_model**-0.5 if name.endswith("W_in") else MLP_WRITES * (2 / d_mlp) ** 0.5
                torch.nn.init.normal_(parameter, std=scale)
    return model


def _summary(case: str, found: list[tuple[Row, dict[str, float]]]) -> dict:
    """The mean of each number over draws and tasks, of areas the smallest; of the flag all together."""
    rows, flags = [methods for methods, _ in found], [flag for _, flag in found]
    methods = {
        name: {
            number: float((min if number == "area" else np.mean)([one[name][number] for one in rows]))
            for number in rows[0][name]
        }
        for name in rows[0]
    }
    return {"case": case, "methods": methods, "flag": pooled(flags)}


def pooled(flags: list[dict[str, float]]) -> dict[str, float]:
    """Counts summed, and what they say."""
    told = {name: sum(one[name] for one in flags) for name in ("paths", "off", "flagged", "both")}
    with np.errstate(invalid="ignore"):
        rates = {
            "precision": float(np.float64(told["both"]) / told["flagged"]),
            "recall": float(np.float64(told["both"]) / told["off"]),
        }
    return told | rates | {"time over EAP's": float(np.mean([one["time over EAP's"] for one in flags]))}


def on_tasks() -> list[dict]:
    """One row a task of the bundled model."""
    run = open_run(RUN)
    cells = Cells(Path("results") / RUN, run, default_plan("python", 256), committed=True)
    model = run.model(run.steps[-1])
    weights = forward.weights_of(model)
    return [_summary(f"{RUN}, {name}", [row(weights, model.cfg, task_prompts.task(name, cells))[:2]]) for name in TASKS]


def random_with_mlps() -> dict:
    """A random model's logit difference of random answers: every path has some effect."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.new(SIZES | KIND)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    drawn = torch.Generator().manual_seed(0)
    clean, corrupted = torch.randint(200, (2, 64, 32), generator=drawn)
    right, wrong = torch.randint(200, (2, 64), generator=drawn)
    found = row(forward.weights_of(model), model.cfg, Task("random", clean, corrupted, right, wrong))[:2]
    return _summary(f"random model with MLPs, {len(all_heads(model.cfg))} heads", [found])


def main() -> None:
    torch.set_num_threads(1)
    rows = [*on_plants(), *on_tasks(), random_with_mlps()]
    plants = [one["flag"] for one in rows if one["case"].startswith("plant")]
    record = {
        "name": "comparators",
        "command": "python benchmarks/comparators.py",
        "machine": f"one core beside other work, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "rows": rows,
        "flag": {"all plants": pooled(plants), "all": pooled([one["flag"] for one in rows])},
    }
    write_json(OUT, record)
    for one in rows:
        print(one["case"])
        for name, found in [*one["methods"].items(), ("flag", one["flag"])]:
            print(f"  {name:<24}", {number: round(value, 2) for number, value in found.items()})
    print(record["flag"])


if __name__ == "__main__":
    main()
