"""Models of transformers that TransformerLens knows by name, of either of its major versions."""

import io
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

import torch

from ablations.forward import parameters_of
from ablations.models import HOOKED, as_model, of_tensors

FORMER_OWNERLESS = ("openai-community", "distilbert")  # repositories that TransformerLens knows by their name alone
_THREE = "transformer_lens.loading_from_pretrained"
_FOUR = "transformer_lens.tools.model_registry"


def official_name(name: str) -> str:
    """The repository that a name stands for ("pythia-70m"); raises ValueError for one that is not known."""
    owner, _, bare = name.partition("/")
    name = bare if owner in FORMER_OWNERLESS else name
    if HOOKED:
        return str(import_module(_THREE).get_official_model_name(name))
    known = import_module("transformer_lens.supported_models").OFFICIAL_MODEL_NAMES
    official = import_module(f"{_FOUR}.registry_io").resolve_model_alias(name) or name
    if official not in known:
        raise ValueError(f"TransformerLens knows no {name!r}")
    return str(official)


def steps_of(official: str) -> list[int]:
    """The training steps whose checkpoints are published; none for most models."""
    labels = import_module(_THREE if HOOKED else f"{_FOUR}.checkpoints").get_checkpoint_labels
    try:
        return list(labels(official)[0])
    except ValueError:
        return []


def load(official: str, step: int | None) -> Any:
    """The model, of a step where it has checkpoints, with its weights as they are (nothing folded), on the CPU.

    An unembedding that is the embedding is a matrix of its own, as in a HookedTransformer. Raises what transformers
    raises where it cannot be had. The random state stays as it was.
    """
    with torch.random.fork_rng(devices=[]), redirect_stdout(io.StringIO()):
        if HOOKED:
            hooked = import_module("transformer_lens").HookedTransformer
            model = hooked.from_pretrained_no_processing(official, checkpoint_value=step, device="cpu")
        else:
            bridge = import_module("transformer_lens.model_bridge").TransformerBridge
            shared = as_model(bridge.boot_transformers(official, checkpoint_value=step, device="cpu"))
            weights = {name: weight.clone() for name, weight in parameters_of(shared).items()}
            model = of_tensors(weights, shared.cfg, shared.tokenizer)
    return model.eval().requires_grad_(False)
