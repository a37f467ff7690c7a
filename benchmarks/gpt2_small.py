"""What a model of GPT-2 small's size asks for: seconds and memory of sampling, of a card's parts and of discovery.

    python benchmarks/gpt2_small.py

takes about an hour and a half on two cores and writes benchmarks/results/gpt2_small.json, in which rows of `--only`
replace their own. The model has GPT-2 small's shape and random weights, on which times do not depend. Each row runs
in a process of its own, whose largest memory (of the largest process, where it starts others) is told, the model's
own 0.6 GB included. Text has rows of 128 tokens. Of QUICK's 70 draws six are timed, and of the paths a part; what
is told is the time of all of them. The last two rows are commands, with two workers and the bundled text.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ablations import ablate, models
from circuits import discover
from circuits.tasks import Task
from experiments import open_run
from experiments.runs.adopt import adopt
from experiments.storage.files import write_json
from llc import QUICK, sample

OUT = Path(__file__).parent / "results" / "gpt2_small.json"
SHAPE = {"n_layers": 12, "d_model": 768, "n_heads": 12, "d_head": 64, "d_mlp": 3072, "d_vocab": 50257, "n_ctx": 1024}
GPT2 = SHAPE | {"act_fn": "gelu_new", "positional_embedding_type": "standard", "seed": 0}
LENGTH, PROMPTS = 128, 32
CIRCUIT = "circuit --heads L11H0"
CARD = "investigate L11H0 --heads L11H0 --tokens 20000"


def tokens(rows: int) -> torch.Tensor:
    return torch.randint(SHAPE["d_vocab"], (rows, LENGTH), generator=torch.Generator().manual_seed(0))


def rllcs(*heads: str) -> float:
    """Seconds of the rLLCs of these heads at QUICK: those of five draws, and those of a sixth for each further one."""
    model, took = models.new(GPT2), []
    for draws in (5, 6):
        start = time.perf_counter()
        sample(model, tokens(64), heads, settings=replace(QUICK, num_draws=draws, num_burnin=1), seed=0)
        took.append(time.perf_counter() - start)
    return took[0] + (QUICK.num_draws - 5) * (took[1] - took[0])


def removing() -> float:
    """Seconds of mean ablation of all 144 heads on 2 rows, one after another."""
    model, text = models.new(GPT2), tokens(2)
    start = time.perf_counter()
    ablate(model, text, [f"L{layer}H{head}" for layer in range(12) for head in range(12)], reference=text)
    return time.perf_counter() - start


def discovery() -> float:
    """Seconds of exact effects of all paths on 32 prompts of 16 tokens, from one path in so many."""
    model = models.new(GPT2)
    clean, corrupted = tokens(PROMPTS)[:, :16], tokens(PROMPTS)[:, 16:32]
    task = Task("random", clean, corrupted, clean[:, 0], corrupted[:, 0])
    every = discover.candidates(model.cfg)
    some = every[:: len(every) // 48]
    start = time.perf_counter()
    discover.path_effects(model, task, some)
    return (time.perf_counter() - start) * len(every) / len(some)


def command(*arguments: str) -> float:
    """Seconds of a verb on a run of this shape, all that it needs included."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer.from_str(open_run("mini-seed0").tokenizer.to_str())
        tokenizer.add_tokens([f"<|unused{n}|>" for n in range(SHAPE["d_vocab"] - tokenizer.get_vocab_size())])
        run = Path(folder) / "gpt2-shaped"
        adopt(run, {0: models.new(GPT2)}, tokenizer, corpus="python", tokens_per_step=1, n_ctx=LENGTH)
        start = time.perf_counter()
        verb = [sys.executable, "-m", "experiments", *arguments, "--run", str(run), "--out", f"{folder}/out"]
        subprocess.run([*verb, "--workers", "2"], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


ROWS: dict[str, Callable[[], float]] = {
    "rLLCs of 3 heads of layer 0, QUICK": lambda: rllcs("L0H0", "L0H1", "L0H2"),
    "rLLCs of the 12 heads of layer 11, QUICK": lambda: rllcs(*(f"L11H{head}" for head in range(12))),
    "rLLC of L0H1 alone, QUICK": lambda: rllcs("L0H1"),
    "rLLC of L11H1 alone, QUICK": lambda: rllcs("L11H1"),
    "mean ablation of all 144 heads, 2 rows": removing,
    "exact effects of all paths on 32 prompts of 16 tokens": discovery,
    CIRCUIT: lambda: command(*CIRCUIT.split()),
    CARD: lambda: command(*CARD.split()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--row", choices=ROWS, help="one row, in this process, which is printed alone")
    parser.add_argument("--only", choices=ROWS, nargs="+", default=list(ROWS), help="some rows")
    arguments = parser.parse_args()
    if arguments.row:
        seconds = ROWS[arguments.row]()
        own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(json.dumps({"case": arguments.row, "seconds": seconds, "peak_gb": max(own, others) / 2**20}))
        return
    kept = json.loads(OUT.read_text())["rows"] if OUT.exists() else []
    rows = [row for row in kept if row["case"] not in arguments.only]
    for name in arguments.only:
        done = subprocess.run([sys.executable, __file__, "--row", name], capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1])
    machine = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}"
    write_json(
        OUT, {"name": "gpt2_small", "command": "python benchmarks/gpt2_small.py", "machine": machine, "rows": rows}
    )


if __name__ == "__main__":
    main()
