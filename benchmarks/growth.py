"""How time and peak memory of the rLLCs of a first-layer head grow with every size they have.

    python benchmarks/growth.py

takes some minutes and writes benchmarks/results/growth.json. Each point is a process of its own, with one thread, on a
fresh model. The exponent is the slope of log time over the largest doubling (1: linear); attention alone is
quadratic in the context. Memory is what the process peaks at beyond what it held before sampling.
"""

import math
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

from experiments.storage.files import write_json
from llc import engine
from llc.settings import Settings

OUT = Path(__file__).parent / "results" / "growth.json"
BASE = {"heads": 2, "chains": 2, "draws": 10, "batch": 8, "vocabulary": 1024, "context": 256, "checkpoints": 1}
AXES = {
    "heads": (2, 4, 8),
    "chains": (2, 4, 8),
    "draws": (10, 20, 40),
    "batch": (8, 16, 32),
    "vocabulary": (1024, 2048, 4096),
    "context": (128, 256, 512),
    "checkpoints": (1, 2, 4),
}
FLAT = ("draws", "checkpoints")  # memory must not grow with these
LARGEST_EXPONENT, LARGEST_GROWTH = 1.1, 1.1


def measure(size: dict[str, int]) -> tuple[float, float]:
    """Seconds, and mebibytes of peak memory."""
    torch.set_num_threads(1)
    settings = Settings(
        "growth",
        lr=1e-3,
        nbeta=30.0,
        localization=200.0,
        batch_size=size["batch"],
        num_chains=size["chains"],
        num_draws=size["draws"],
        num_burnin=0,
    )
    tokens = torch.randint(size["vocabulary"], (64, size["context"]), generator=torch.Generator().manual_seed(0))
    engine.sample(model(size, 0), tokens[:1, :16], ["L0H0"], settings=settings, seed=0)  # loads what is loaded once
    before, start = peak(), time.perf_counter()
    for checkpoint in range(size["checkpoints"]):
        names = [f"L0H{head}" for head in range(size["heads"])]
        engine.sample(model(size, checkpoint), tokens, names, settings=settings, seed=0)
    return time.perf_counter() - start, peak() - before


def model(size: dict[str, int], seed: int) -> HookedTransformer:
    """Two layers of eight heads, of the bundled model's widths."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HookedTransformer(
            HookedTransformerConfig(
                n_layers=2,
                d_model=128,
                n_ctx=size["context"],
                d_head=32,
                n_heads=8,
                d_vocab=size["vocabulary"],
                attn_only=True,
                normalization_type="LN",
                positional_embedding_type="shortformer",
                device="cpu",
            )
        )


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(axis: str, points: list[tuple[float, float]]) -> dict:
    """One axis: times and memory at its sizes."""
    seconds, memory = zip(*points, strict=True)
    exponent = math.log2(seconds[-1] / seconds[-2])
    growth = memory[-1] / memory[0]
    met = exponent <= LARGEST_EXPONENT and (axis not in FLAT or growth <= LARGEST_GROWTH)
    found = {"case": axis, "sizes": AXES[axis], "seconds": seconds, "mebibytes": memory, "exponent": exponent}
    limits = {"exponent": LARGEST_EXPONENT} | ({"growth of memory": LARGEST_GROWTH} if axis in FLAT else {})
    return found | {"growth of memory": growth, "target": limits, "met": met}


def main() -> None:
    record: dict = {
        "name": "growth",
        "command": "python benchmarks/growth.py",
        "machine": "one core of an AMD EPYC",
        "base": BASE,
        "rows": [],
    }
    for axis, sizes in AXES.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            record["rows"].append(row(axis, list(pool.map(measure, [BASE | {axis: size} for size in sizes]))))
        print(record["rows"][-1], flush=True)
        write_json(OUT, record)


if __name__ == "__main__":
    main()
