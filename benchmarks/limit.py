"""A gradient of one chain against what cannot be avoided: its matrix products and one pass of exponentials.

    python benchmarks/limit.py

takes a minute and writes benchmarks/results/limit.json. The limit is the time of the products that any exact gradient
of this head needs once activations above it are shared (causal attention counted as the half that is not masked),
timed one by one on arrays that fit the cache, and of the exponentials of all probabilities. Norms, masks, sums,
targets, copies, Python and the checks of a chain are ours to keep small, so they are not in it.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from experiments import runs
from experiments.storage.files import write_json
from llc import head_loss, restrict
from llc.losses import next_token
from llc.minibatch import Minibatch, room
from llc.settings import PAPER

OUT = Path(__file__).parent / "results" / "limit.json"
KINDS = {"products": ("mm", "addmm", "bmm", "baddbmm"), "softmax": ("_softmax",), "copies": ("copy", "cat")}
TARGET, CHUNK = 2.0, 256  # tokens of a product at a time


def best(work: Callable[[], object], repetitions: int = 30) -> float:
    """Seconds, the least of many: what stands in the way of the work is not the work."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def product(tokens: int, inner: int, outer: int) -> float:
    """Seconds of [tokens, inner] @ [inner, outer], a chunk at a time."""
    a, b, out = torch.randn(CHUNK, inner), torch.randn(inner, outer), torch.empty(CHUNK, outer)
    return best(lambda: torch.mm(a, b, out=out)) * tokens / CHUNK


def linear(tokens: int, inner: int, outer: int, *, inputs: bool, weights: bool) -> float:
    """A product and those of its gradients that are needed."""
    a, b, total = torch.randn(inner, CHUNK), torch.randn(CHUNK, outer), torch.empty(inner, outer)
    for_weights = best(lambda: torch.mm(a, b, out=total)) * tokens / CHUNK
    return product(tokens, inner, outer) + inputs * product(tokens, outer, inner) + weights * for_weights


def attention(rows: int, heads: int, length: int, d_head: int) -> float:
    """Scores, values, and their four gradients; half of each is masked."""
    q, k, s = torch.randn(heads, length, d_head), torch.randn(heads, d_head, length), torch.randn(heads, length, length)
    out, short = torch.empty_like(s), torch.empty_like(q)
    square, narrow = best(lambda: torch.bmm(q, k, out=out)), best(lambda: torch.bmm(s, q, out=short))
    return rows * (2 * square + 4 * narrow) / 2


def exponentials(count: float) -> float:
    """The faster of PyTorch's two ways."""
    x = torch.randn(CHUNK, 1024)
    out = torch.empty_like(x)
    return min(best(lambda: torch.exp(x, out=out)), best(lambda: torch.softmax(x, -1, out=out))) * count / x.numel()


def profile(work: Callable[[], object]) -> dict[str, float]:
    """Where our own time goes, as shares of it."""
    found = dict.fromkeys((*KINDS, "other operations", "Python and autograd"), 0.0)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        work()
    for event in profiler.key_averages():
        operation = event.key.removeprefix("aten::").rstrip("_")
        other = "other operations" if event.key.startswith("aten::") else "Python and autograd"
        found[next((kind for kind, names in KINDS.items() if operation in names), other)] += event.self_cpu_time_total
    return {kind: round(time / sum(found.values()), 3) for kind, time in found.items()}


def limit(layer: head_loss.Layer, rows: int, length: int) -> dict[str, float]:
    """Seconds by kind of work, for one gradient of one chain."""
    cfg = layer.cfg
    tokens, predicted, read = rows * length, rows * (length - 1), layer.reader.shape[1]
    found = {
        "own queries, keys, values": linear(tokens, cfg.d_model, 3 * cfg.d_head, inputs=False, weights=True),
        "own attention": attention(rows, 1, length, cfg.d_head),
        "written for the norm": linear(tokens, cfg.d_head, cfg.d_model, inputs=True, weights=True),
        "read by what follows": linear(predicted, cfg.d_head, read, inputs=True, weights=True),
        "exponentials": exponentials(predicted * cfg.d_vocab + rows * length**2 / 2),
    }
    if not layer.into_logits:
        width = cfg.n_heads * cfg.d_head
        found["attention of the next layer"] = attention(rows, cfg.n_heads, length, cfg.d_head)
        found["written by the next layer"] = linear(tokens, width, cfg.d_model, inputs=True, weights=False)
        found["logits"] = linear(predicted, cfg.d_model, cfg.d_vocab, inputs=True, weights=False)
        found["exponentials"] += exponentials(cfg.n_heads * rows * length**2 / 2)
    return found


def main() -> None:
    run = runs.open_run("mini-seed0")
    model = run.model(run.steps[-1])
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    tokens, rows = run.corpus("train").batch(slice(0, PAPER.batch_size)), np.arange(PAPER.batch_size)
    record: dict = {
        "name": "limit",
        "command": "python benchmarks/limit.py",
        "machine": "one core of an AMD EPYC",
        "unit": "seconds of one gradient of one chain, batch 32",
        "rows": [],
    }
    torch.set_num_threads(1)
    for number, name in enumerate(("first", "last")):
        layer = head_loss.prepare_layer(weights, model.cfg, number)
        fit = room(layer, len(tokens), tokens.shape[1], PAPER.num_chains)
        minibatch = Minibatch(layer, tokens, rows, next_token(), fit)
        start = restrict.parse(f"L{number}H4", weights, model.cfg).flat(weights)
        spread = PAPER.localization**-0.5 * torch.randn(PAPER.num_chains, len(start))
        positions = start + spread
        minibatch.evaluate(4, positions)
        ours = best(lambda m=minibatch, p=positions: m.evaluate(4, p)) / PAPER.num_chains  # type: ignore[misc]
        parts = limit(layer, *tokens.shape)
        shares = profile(lambda m=minibatch, p=positions: m.evaluate(4, p))  # type: ignore[misc]
        ratio = ours / sum(parts.values())
        met = ratio <= TARGET
        row = {"case": f"{name} layer", "ours": ours, "limit": sum(parts.values()), "parts": parts, "ratio": ratio}
        row["our time by kind"] = shares
        record["rows"].append(row | {"target": TARGET, "met": met})
        print(record["rows"][-1])
    write_json(OUT, record)


if __name__ == "__main__":
    main()
