"""TransformerLens 4's own path patching on a model of the bundled one's size; prints one JSON line.

Run by `benchmarks/paths.py --tl4 PYTHON` in an environment that has transformer-lens 4 (it removed HookedTransformer,
so both versions cannot be in one). Where it refuses, the line holds the reason.
"""

import json
import sys
import time
from importlib.metadata import version

import torch
from transformer_lens import patching
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge.sources import boot_native

torch.set_num_threads(1)
ROWS = int(sys.argv[1])
SIZES = {"n_layers": 2, "n_heads": 8, "d_model": 128, "d_head": 32, "n_ctx": 256, "d_vocab": 1024}


def measure() -> dict:
    cfg = TransformerBridgeConfig(
        **SIZES, attn_only=True, normalization_type="LN", positional_embedding_type="standard", act_fn="gelu", seed=0
    )
    model = boot_native(cfg).eval()
    clean, corrupted = (torch.randint(1024, (ROWS, 256)) for _ in range(2))
    with torch.no_grad():
        (_, one), (_, two) = (model.run_with_cache(tokens) for tokens in (clean, corrupted))
        start = time.perf_counter()
        patching.get_act_patch_direct_path(
            model, corrupted, one, two, lambda logits: logits[:, -1].mean(), 0, 0, "k", verbose=False
        )
    return {"us_per_token": (time.perf_counter() - start) / 8 / (ROWS * 255) * 1e6}


try:
    found = measure()
except (NotImplementedError, ValueError, RuntimeError) as error:
    found = {"refused": f"{type(error).__name__}: {str(error).partition('. ')[0]}"}
print(json.dumps({"version": version("transformer-lens"), **found}))
