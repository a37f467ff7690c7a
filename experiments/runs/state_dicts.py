"""TransformerLens-style state dicts from elsewhere: read without running anything in them, and made into a model.

What shapes tell of the architecture is read off them; what they do not tell has to be given (`architecture`).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import load_file
from torch import Tensor

from ablations import lens_fields, models
from ablations.configuration import as_fields
from ablations.models import Config, Model
from ablations.running import as_in_workers
from experiments.corpora.documents import first_line

SUFFIXES = (".pth", ".pt", ".safetensors")
MARK = "embed.W_E"  # every TransformerLens model has it
BUFFERS = (".mask", ".IGNORE", ".rotary_sin", ".rotary_cos")  # made anew with the model


def read(path: Path) -> dict[str, Tensor]:
    """The parameters in a file, by TransformerLens's names, in float32; buffers are left out.

    A state dict may be wrapped ({"model": ...}) and its names prefixed ("module."), if just one is there. Raises
    ValueError for a file that cannot be read, holds anything but tensors and plain values, or several state dicts.
    """
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise ValueError(
            f"{path.name} holds more than tensors, or is no checkpoint: what else is in a pickle could run as code, so "
            "it is not loaded; save the state dict alone, torch.save(model.state_dict(), path), or as safetensors"
        ) from None
    except Exception as error:  # torch, zipfile and safetensors raise many kinds
        raise ValueError(f"{path.name} cannot be read ({first_line(error)}): restore it") from None
    inside = [part for part in _state_dicts(content) if part]
    if len(inside) != 1:
        raise ValueError(
            f"{path.name} holds {len(inside) or 'no'} state dicts of TransformerLens models (with a tensor {MARK}), "
            "one is needed: save it alone"
        )
    return {name: _real(tensor, name, path) for name, tensor in inside[0].items() if not name.endswith(BUFFERS)}


def _state_dicts(content: object) -> list[dict[str, Tensor]]:
    """The state dicts in what a file holds, at any depth, without the prefix of their names."""
    if not isinstance(content, Mapping):
        return []
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    prefixes = [name.removesuffix(MARK) for name in tensors if re.fullmatch(rf"(.*\.)?{re.escape(MARK)}", name)]
    own = [{name.removeprefix(prefix): tensor for name, tensor in tensors.items()} for prefix in prefixes]
    return own + [inner for value in content.values() for inner in _state_dicts(value)]


def _real(tensor: Tensor, name: str, path: Path) -> Tensor:
    """A tensor of real numbers in float32; raises ValueError for one of anything else."""
    if not tensor.is_floating_point():
        raise ValueError(f"{path.name}: {name} holds {tensor.dtype}: weights are real numbers")
    return tensor.float()


def facts(config: Config | Mapping[str, object]) -> dict[str, object]:
    """The fields that say what a model computes, by TransformerLens's names, of a configuration or a part of one.

    The names in the config.json of TransformerLens's own models are read too. Other fields are left out.
    """
    given = as_fields(config)
    if "normalization" in given:
        given["normalization_type"] = given["normalization"]
    if "shortformer_pos" in given:
        given["positional_embedding_type"] = "shortformer" if given["shortformer_pos"] else "standard"
    return {name: given[name] for name in lens_fields.KINDS if name in given}


def architecture(weights: Mapping[str, Tensor], given: Mapping[str, object], what: str) -> Config:
    """The configuration of a model with these weights: sizes by their shapes, and the rest as given (`facts`).

    what: names the checkpoint in messages. Raises ValueError where weights leave open what is not given (`untold`).
    What TransformerLens has a default for (eps, the scale of attention) is that default unless it is given.
    """
    seen = _seen(weights, what)
    if missing := untold(weights, given, what):
        raise ValueError(f"{what}: {_asked(missing)}")
    try:
        return models.lens_config({"act_fn": "gelu"} | seen | dict(given))
    except Exception as error:  # asserts, type and value errors
        raise ValueError(f"{what}: there is no such model ({error}): correct its configuration") from None


def untold(weights: Mapping[str, Tensor], given: Mapping[str, object], what: str) -> list[str]:
    """What weights leave open and is not given: the context where positions have no weights, the norm where it has
    none, how positions work, and the activation of MLPs. Raises ValueError for weights of no TransformerLens model.
    """
    seen = _seen(weights, what)
    asked = ["n_ctx", "normalization_type", "positional_embedding_type", *([] if seen["attn_only"] else ["act_fn"])]
    return [name for name in asked if name not in seen | dict(given)]


def _asked(missing: list[str]) -> str:
    """What to do about fields that weights do not tell."""
    example = ", ".join(f'"{name}": {_example(name)}' for name in missing)
    return (
        f"weights do not tell {' and '.join(missing)}: "
        f"say it in a config.json beside them, such as {{{example}}}, or in config"
    )


def _seen(weights: Mapping[str, Tensor], what: str) -> dict[str, object]:
    """What shapes tell of the configuration."""
    layers = [int(match[1]) for name in weights if (match := re.match(r"blocks\.(\d+)\.", name))]
    query = weights.get("blocks.0.attn.W_Q")
    if query is None or query.ndim != 3 or weights[MARK].ndim != 2:
        raise ValueError(f"{what}: no W_Q of [head, d_model, d_head] in layer 0: it is no TransformerLens model")
    seen: dict[str, object] = {"n_layers": max(layers) + 1, "d_vocab": weights[MARK].shape[0]}
    seen |= dict(zip(("n_heads", "d_model", "d_head"), query.shape, strict=True))
    seen["attn_only"] = not any(".mlp." in name for name in weights)
    if "blocks.0.mlp.W_in" in weights:
        seen |= {"d_mlp": weights["blocks.0.mlp.W_in"].shape[-1], "gated_mlp": "blocks.0.mlp.W_gate" in weights}
    if "pos_embed.W_pos" in weights:
        seen["n_ctx"] = weights["pos_embed.W_pos"].shape[0]
    if "blocks.0.ln1.w" in weights:
        seen["normalization_type"] = "LN" if "blocks.0.ln1.b" in weights else "RMS"
    return seen


def _example(name: str) -> str:
    """A value that a field may have, as JSON."""
    values = {"n_ctx": "1024", "normalization_type": '"LNPre"', "act_fn": '"gelu"'}
    return values.get(name, '"standard" or "shortformer"')


@as_in_workers()
def built(config: Config, weights: Mapping[str, Tensor], what: str) -> Model:
    """A model with these parameters, in eval mode and as they are (nothing folded); the random state stays as it was.

    Raises ValueError for parameters that are missing, too many, of another shape or not finite.
    """
    with torch.random.fork_rng(devices=[]):
        model = models.new(config)
    if reason := models.misfit(model, weights):
        raise ValueError(f"{what}: {reason}: configuration and checkpoint are not of the same model")
    if bad := next((name for name, tensor in weights.items() if not torch.isfinite(tensor).all()), ""):
        raise ValueError(
            f"{what}: {bad} is not finite: the checkpoint is damaged or its training "
            "diverged, choose another --step or train again"
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    return model.eval().requires_grad_(False)
