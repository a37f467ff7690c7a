"""The paper's differentiation figure on a GPU: 16 heads, 107 checkpoints, 2 data sets, its size and settings.

    python benchmarks/gpu.py

needs a CUDA device; times some draws of every head, extrapolates to the whole figure, and writes
benchmarks/results/gpu.json.
"""

import time
from dataclasses import replace
from pathlib import Path

import torch

from ablations.names import all_heads, head_name
from experiments.runs import presets
from experiments.storage.files import write_json
from llc import engine
from llc.settings import PAPER

OUT = Path(__file__).parent / "results" / "gpu.json"
CHECKPOINTS, DATA_SETS, TARGET_HOURS = 107, 2, 1.0
PRECISIONS: tuple[engine.Precision, ...] = ("fp32", "bf16")


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device: this benchmark needs one; benchmarks/speed.py measures CPUs")
    model = presets.build(presets.PRESETS["paper"], 0, 2).eval().to("cuda")
    tokens = torch.randint(model.cfg.d_vocab, (256, model.cfg.n_ctx), generator=torch.Generator().manual_seed(0))
    names = [head_name(head) for head in all_heads(model.cfg)]
    record: dict = {
        "name": "gpu",
        "command": "python benchmarks/gpu.py",
        "machine": torch.cuda.get_device_name(),
        "rows": [],
    }
    for precision in PRECISIONS:
        seconds = {}
        for draws in (5, 25):  # the difference leaves set-up out, whose cost a sweep pays once a checkpoint
            chosen = replace(PAPER, num_draws=draws, num_burnin=0)
            torch.cuda.synchronize()
            start = time.perf_counter()
            engine.sample(model, tokens, names, settings=chosen, seed=0, precision=precision)
            torch.cuda.synchronize()
            seconds[draws] = time.perf_counter() - start
        draw = (seconds[25] - seconds[5]) / 20
        hours = (seconds[5] + draw * (PAPER.num_draws - 5)) * CHECKPOINTS * DATA_SETS / 3600
        row = {"case": f"whole figure, {precision}, extrapolated", "seconds of a draw of all heads": draw}
        record["rows"].append(row | {"hours": hours, "target": TARGET_HOURS, "met": hours <= TARGET_HOURS})
        print(record["rows"][-1], flush=True)
        write_json(OUT, record)


if __name__ == "__main__":
    main()
