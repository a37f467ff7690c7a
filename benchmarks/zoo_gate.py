"""Does each bundled model have the induction circuit, and each one-layer reference not?

    python benchmarks/zoo_gate.py

prints a table and writes benchmarks/results/zoo_gate.json.
"""

import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from ablations.names import Head, all_heads
from experiments import runs
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.storage.files import write_json

OUT = Path(__file__).parent / "results" / "zoo_gate.json"


class Bar(NamedTuple):
    """One bar: what was measured, the least that is asked for, and whether it is reached."""

    name: str
    value: float
    least: float

    @property
    def met(self) -> bool:
        return self.value >= self.least


def bars(
    previous_token: Mapping[Head, float], prefix_matching: Mapping[Head, float], gain_random: float, gain_text: float
) -> list[Bar]:
    """Scores by head and copy gains in nats per token; a model without a layer 1 has no prefix-matching head."""
    matching = [score for head, score in prefix_matching.items() if head[0] == 1] or [0.0]
    previous = [score for head, score in previous_token.items() if head[0] == 0]
    return [
        Bar("prefix matching, best layer-1 head", max(matching), 0.25),
        Bar("prefix matching, summed over layer 1", sum(matching), 0.5),
        Bar("previous token, best layer-0 head", max(previous), 0.3),
        Bar("copy gain on repeated random tokens (nats)", gain_random, 1.0),
        Bar("copy gain on repeated held-out text (nats)", gain_text, 1.0),
    ]


def bars_of(run: runs.Run) -> list[Bar]:
    """The bars at the last checkpoint."""
    plan = default_plan(run.config["preset"]["corpus"], run.config["model"]["n_ctx"])
    with tempfile.TemporaryDirectory() as scratch:
        scores = Cells(Path(scratch), run, plan).get(SCORES, run.steps[-1])
    heads = all_heads(run.model_config())
    previous, matching = (
        dict(zip(heads, scores[name].values.tolist(), strict=True)) for name in ("previous_token", "prefix_matching")
    )
    return bars(previous, matching, *scores.copy_gain.values.tolist())


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for folder in sorted(runs.ZOO.glob("*/config.json")):
        run = runs.open_run(folder.parent)
        for bar in bars_of(run):
            rows.append({"case": f"{run.name}: {bar.name}", "value": bar.value, "target": bar.least, "met": bar.met})
            verdict = "met" if bar.met else "not met"
            print(f"{rows[-1]['case']:<75} {bar.value:6.2f}  at least {bar.least:4.2f}  {verdict}")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}, one thread"
    command = "python benchmarks/zoo_gate.py"
    write_json(OUT, {"name": "zoo_gate", "command": command, "machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
