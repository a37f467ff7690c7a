"""Models with MLPs: what the pure functions save against running the whole model, by hooks and by the general sampler.

    python benchmarks/larger.py

takes a quarter of an hour on one core and writes benchmarks/results/larger.json. The models are GPT-2-shaped (an MLP
after attention, learned positions) and Pythia-shaped (an MLP beside it, rotary positions), of four layers and randomly
initialised, on random tokens: times do not depend on weights. Everything in turns, on one thread.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

from ablations import changed_losses, effects, forward, substitutes
from ablations.changes import Change
from ablations.paths import all_paths, cut
from experiments.storage.files import write_json
from llc import engine
from llc.settings import Settings

OUT = Path(__file__).parent / "results" / "larger.json"
TURNS, ROWS, LENGTH, VOCABULARY, HOOKED = 3, 8, 128, 5000, 8
SIZES = {"n_layers": 4, "d_model": 256, "n_heads": 8, "d_head": 32, "n_ctx": LENGTH, "d_vocab": VOCABULARY}
GPT2 = SIZES | {"d_mlp": 1024, "attn_only": False, "act_fn": "gelu_new", "positional_embedding_type": "standard"}
PYTHIA = GPT2 | {"act_fn": "gelu", "parallel_attn_mlp": True, "positional_embedding_type": "rotary", "rotary_dim": 8}
DRAWS = Settings("5 draws", 1e-3, 30.0, 200.0, batch_size=4, num_chains=2, num_draws=5, num_burnin=1)


def ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> dict[str, float]:
    """Seconds of each, and how many times as long theirs takes: medians over turns; a first turn does not count."""
    times: list[tuple[float, float]] = []
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        ours()
        between = time.perf_counter()
        theirs()
        times.append((between - start, time.perf_counter() - between))
    own, peer = zip(*times[1:], strict=True)
    found = statistics.median(b / a for a, b in times[1:])
    return {"ours": statistics.median(own), "peer": statistics.median(peer), "ratio": found}


def sampling(model: HookedTransformer, tokens: torch.Tensor, layer: int) -> dict:
    heads = [f"L{layer}H{head}" for head in range(model.cfg.n_heads)]
    draw = partial(engine.sample, model, tokens, heads, settings=DRAWS, seed=0)
    return ratio(partial(draw, path="fast"), partial(draw, path="general"))


def cutting(model: HookedTransformer, tokens: torch.Tensor) -> dict:
    """All paths at once against one hooked forward a path; seconds of a path."""
    weights, cfg = forward.weights_of(model), model.cfg
    every = all_paths(cfg)
    some = every[:: len(every) // HOOKED]
    values = substitutes.mean_z(weights, cfg, tokens)

    def ours() -> None:
        changes = [Change(cuts=(path,)) for path in every]
        list(changed_losses.blocks(weights, cfg, tokens[:ROWS], changes, substitutes.fixed(values)))

    def hooked() -> None:
        for path in some:
            effects.token_losses(model, tokens[:ROWS], cut(model, [path], values))

    found, share = ratio(ours, hooked), len(every) / len(some)
    return {
        "ours": found["ours"] / len(every),
        "peer": found["peer"] / len(some),
        "ratio": found["ratio"] * share,
    }


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for name, shape in {"GPT-2-shaped": GPT2, "Pythia-shaped": PYTHIA}.items():
        model = HookedTransformer(HookedTransformerConfig(**shape, seed=0, device="cpu")).requires_grad_(False)
        tokens = torch.randint(VOCABULARY, (64, LENGTH), generator=torch.Generator().manual_seed(0))
        for layer in (0, 3):
            case = f"{name}: chains of the 8 heads of layer {layer}, against the general path"
            rows.append({"case": case, **sampling(model, tokens, layer)})
        rows.append({"case": f"{name}: one path among all, against a hooked forward", **cutting(model, tokens)})
        print(*rows[-3:], sep="\n", flush=True)
    record = {
        "name": "larger",
        "command": "python benchmarks/larger.py",
        "machine": "two cores of an AMD EPYC",
        "unit": "seconds, one thread",
        "rows": rows,
    }
    write_json(OUT, record)


if __name__ == "__main__":
    main()
