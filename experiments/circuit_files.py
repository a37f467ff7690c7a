"""A circuit that was discovered on a run: in words, as graph files, a table and a picture."""

import json
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
import pandas as pd
import torch

from ablations import attention
from ablations.paths import path_name
from circuits import discover, graph
from circuits.discover import Circuit, Effects
from circuits.tasks import accuracy
from experiments import bench, report, task_sets, tensorfile
from experiments.cells import Cells
from experiments.figures import circuit as picture

RANDOM = 20  # random circuits of the same size


class Discovered(NamedTuple):
    """What was found on a task at a checkpoint."""

    task: str
    step: int
    accuracy: float
    effects: Effects
    eap_ig: Effects
    graph: nx.DiGraph
    quality: Circuit  # of the paths that were found
    random: np.ndarray  # faithfulness of random circuits as large


def discover_circuit(cells: Cells, name: str, step: int) -> Discovered:
    """Exact effects of all paths, those that pass a false-discovery rate of 5%, and how good a circuit they are."""
    on, model = cells.on, bench.model(cells.run.folder, step)
    weights, cfg, task = attention.weights_of(model), model.cfg, task_sets.task(name, cells.on)
    paths = discover.candidates(cfg)
    effects = discover.exact(weights, cfg, task, paths)
    found = discover.significant(effects.p)
    chosen = [path for path, at in zip(paths, found, strict=True) if at]
    with torch.no_grad():
        right = accuracy(task, model(task.clean))
    return Discovered(
        task=name,
        step=step,
        accuracy=right,
        effects=effects,
        eap_ig=discover.attribution(weights, cfg, task, paths, steps=discover.IG_STEPS),
        graph=graph.circuit_graph(cfg, effects, found),
        quality=discover.evaluate(weights, cfg, task, chosen),
        random=discover.random_circuits(weights, cfg, task, len(chosen), RANDOM, on.plan.seed),
    )


def frame(found: Discovered) -> pd.DataFrame:
    """One row per path, largest effect first."""
    effects = found.effects
    table = pd.DataFrame(
        {
            "path": [path_name(path) for path in effects.paths],
            "effect": effects.effect.mean(1),
            "se": effects.effect.std(1, ddof=1) / effects.effect.shape[1] ** 0.5,
            "p": effects.p,
            "found": discover.significant(effects.p),
            "eap_ig": found.eap_ig.effect.mean(1),
            "faithfulness_lost": [found.quality.minimality.get(path, np.nan) for path in effects.paths],
        }
    )
    return table.reindex(table.effect.abs().sort_values(ascending=False, kind="stable").index)


def as_text(found: Discovered, top: int) -> str:
    effects, quality, random, table = found.effects, found.quality, found.random, frame(found)
    lines = [
        f"task {found.task}, step {found.step}: logit difference {effects.clean.mean():.2f} on {len(effects.clean)} "
        f"clean prompts, {effects.corrupted.mean():.2f} on corrupted ones; right answers {100 * found.accuracy:.0f}%",
        f"{int(table.found.sum())} of {len(table)} paths pass a false-discovery rate of 5%. Faithfulness of these "
        f"alone {quality.faithfulness:.2f}, of all others {quality.completeness:.2f}, of {len(random)} random circuits "
        f"as large {random.mean():.2f} (sd {random.std(ddof=1):.2f})",
        "effect of patching one path (what its source writes on the corrupted prompt), with its standard error over "
        "prompts; EAP-IG's estimate of it; faithfulness that the circuit loses without the path",
    ]
    for row in table.head(top).to_dict("records"):
        numbers = f"{row['effect']:>8.2f} ({row['se']:.2f}){row['eap_ig']:>9.2f}{row['faithfulness_lost']:>8.2f}"
        lines.append(f"{row['path']:16}{numbers}{'' if row['found'] else '  not found'}")
    return "\n".join(lines)


def write(cells: Cells, found: Discovered) -> list[Path]:
    """circuit_TASK_STEP: graph (node-link and MIB JSON), table (CSV) and picture (SVG and PNG)."""
    name, cfg = f"circuit_{found.task}_{found.step}", cells.run.model_config()
    files = {
        f"{name}.json": json.dumps(graph.node_link(found.graph)),
        f"{name}_mib.json": json.dumps(graph.mib(found.graph, cfg)),
        f"tables/{name}.csv": frame(found).to_csv(index=False, float_format="%.6g"),
    }
    for file, text in files.items():
        tensorfile.write_bytes(cells.folder / file, text.encode())
    title = f"{cells.run.name}, step {found.step}: paths that carry {found.task}"
    drawn = report.write_drawn(cells, name, picture.draw(found.graph, title))
    return [*(cells.folder / file for file in files), *drawn]
