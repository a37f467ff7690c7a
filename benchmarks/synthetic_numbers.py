"""Does a learning coefficient grow with the number of patterns that a model has learned? Languages of trigrams alone.

    python benchmarks/synthetic_numbers.py

trains a two-layer model on each of some languages that differ in how many trigrams they hold, not in how much of the
text these are (a minute or two each on an idle core), and writes benchmarks/results/synthetic_numbers.json after each.
A report, not a bar: the full coefficient, and those of the heads summed, against the number of trigrams. The control
is the same at initialisation, where nothing has been learned.
"""

import os
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from ablations import effects
from experiments import runs
from experiments.corpora import synthetic_truth
from experiments.corpora.synthetic_text import KINDS
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.rllc import RLLC
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import presets, train
from experiments.storage.files import write_json

OUT = Path(__file__).parent / "results" / "synthetic_numbers.json"
NUMBERS, STEPS = (0, 16, 64, 256), 700
ONLY = "bigrams=0,fourgrams=0,skip_bigrams=0,skip_trigrams=0,trigram_rate=0.3,repeat_rate=0,bracket_rate=0"


def trained(number: int) -> runs.Run:
    corpus = f"synthetic:trigrams={number},{ONLY},documents=8000"
    preset = replace(presets.get("synthetic"), corpus=corpus, steps=STEPS, checkpoints=(0, STEPS))
    return train.train(preset, 0, 2, Path("runs") / f"synthetic-trigrams{number}-seed0")


def excess(found: Cells, step: int) -> float | None:
    """Of the loss over the language's entropy where a trigram's target is due, in nats; None without trigrams."""
    rows = found.inputs.free_text.part(slice(0, 200))
    labels = synthetic_truth.labels(rows)
    due = np.isin(labels.kind, [KINDS.index("target"), KINDS.index("miss")])[:, 1:]
    loss = effects.token_losses(found.run.model(step), rows.batch(slice(None))).double().numpy()
    return round(float((loss + labels.log_probability[:, 1:])[due].mean()), 3) if due.any() else None


def measured(number: int) -> dict:
    """Coefficients with their standard errors, before and after training."""
    run = trained(number)
    plan = default_plan(run.config["preset"]["corpus"], run.config["model"]["n_ctx"])
    found = Cells(Path("results") / run.name, run, plan)
    heads, row = found.table(RLLC), {"case": f"{number} trigrams", "trigrams": number}
    for step, when in ((STEPS, "trained"), (0, "untrained")):
        full, at = found.get(FULL_LLC, step), heads.sel(step=step)
        row[when] = {
            "full": [round(float(full.value), 2), round(float(full.se), 2)],
            "heads summed": [round(float(at.value.sum()), 2), round(float((at.se**2).sum() ** 0.5), 2)],
            "by layer": [round(float(at.value[at.layer == layer].sum()), 2) for layer in (0, 1)],
            "loss over the entropy at targets": excess(found, step),
        }
    return row


def trend(rows: list[dict]) -> dict:
    """Rank correlation with the number of trigrams, trained and not."""
    numbers, found = [row["trigrams"] for row in rows], {}
    for when in ("trained", "untrained"):
        for kind in ("full", "heads summed"):
            found[f"{kind}, {when}"] = round(float(stats.spearmanr(numbers, [r[when][kind][0] for r in rows])[0]), 2)
    return {"case": "rank correlation with the number of trigrams", "value": found, "target": "a report", "met": None}


def main() -> None:
    torch.set_num_threads(1)
    rows: list[dict] = []
    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}, one thread"
    for number in NUMBERS:
        rows.append(measured(number))
        print(rows[-1], flush=True)
        summary = [trend(rows)] if len(rows) > 2 else []
        record = {"name": "synthetic_numbers", "command": "python benchmarks/synthetic_numbers.py", "machine": machine}
        write_json(OUT, record | {"rows": rows + summary})
    print(trend(rows))


if __name__ == "__main__":
    main()
