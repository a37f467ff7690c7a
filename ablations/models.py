"""Models as these packages take them: TransformerLens's of either major version, our own, and folders of tensors.

    HookedTransformer     of TransformerLens 3, taken as it is
    TransformerBridge     of TransformerLens 3 and 4; its weights are read as they are, and shared, not copied. Whether
                          they were processed (norms folded, writes centred) is the bridge's own matter, and kept
    Transformer           our own (`ablations.transformer`), with HookedTransformer's names; `new` and `load` give it
                          where there is no HookedTransformer

Functions of this project that take a model take any of these (`as_model`). A bridge becomes a Transformer, so that all
that needs hooks runs on it too; that this computes what the bridge does is checked on a row of tokens every time.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import transformer_lens
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from ablations.configuration import Configuration, as_fields, filled, unsupported
from ablations.transformer import Transformer

HOOKED = int(version("transformer-lens").partition(".")[0]) < 4  # from then on there is no HookedTransformer
CHECKED_TOKENS = 256  # of the row on which a bridge and its Transformer must agree
NATIVE = "TransformerLensNative"  # the architecture of `boot_native`
CLOSE = 1e-3  # of the largest logit: rounding of fp32 stays far below, another function far above

if TYPE_CHECKING:
    Model: TypeAlias = Any
    Config: TypeAlias = Configuration
elif HOOKED:
    Model = transformer_lens.HookedTransformer | Transformer | TransformerBridge
    Config = transformer_lens.HookedTransformerConfig | Configuration
else:
    Model = Transformer | TransformerBridge
    Config = Configuration


def is_model(thing: Any) -> bool:
    """Whether this is a model of any kind."""
    hooked = HOOKED and isinstance(thing, transformer_lens.HookedTransformer)
    return hooked or isinstance(thing, Transformer | TransformerBridge)


def as_model(model: Any) -> Any:
    """The model itself, or a Transformer with a bridge's weights; raises ValueError for what is no model.

    A bridge whose model these packages do not run (grouped keys, soft caps, ...) is refused with the reason.
    """
    if not is_model(model):
        raise ValueError(
            f"{type(model).__name__} is no model: give a HookedTransformer, a TransformerBridge, or what "
            "ablations.models.of_tensors makes of weights"
        )
    return _of_bridge(model) if isinstance(model, TransformerBridge) else model


def new(config: Config | Mapping[str, Any]) -> Any:
    """A model with random weights, those of TransformerLens for the same state of torch's generator, in fp32, on the
    CPU: a HookedTransformer where TransformerLens has it, else a Transformer.

    config: fields of TransformerLens's configuration by name, or a Configuration. Raises ValueError for a model that
    there is not.
    """
    if not HOOKED:
        fields = as_fields(config)
        if fields.get("seed") is not None:  # as TransformerLens 3 does
            torch.manual_seed(fields["seed"])
        return Transformer(Configuration.of(config), dtype=fields.get("dtype", torch.float32))
    return transformer_lens.HookedTransformer(lens_config(config))


def lens_config(config: Config | Mapping[str, Any]) -> Any:
    """The configuration of the class that `new` gives."""
    if not HOOKED:
        return Configuration.of(config)
    if isinstance(config, transformer_lens.HookedTransformerConfig):
        return config
    fields = config.fields() if isinstance(config, Configuration) else dict(config)
    return transformer_lens.HookedTransformerConfig(**fields | {"device": "cpu"})


def moved(model: Any, device: str | torch.device) -> Any:
    """The model itself on another device, silently."""
    if HOOKED and isinstance(model, transformer_lens.HookedTransformer):
        return model.to(device, print_details=False)
    return model.to(device)


def of_tensors(weights: Mapping[str, Tensor], config: Configuration | Mapping[str, Any], tokenizer: Any = None) -> Any:
    """A Transformer with these weights, by HookedTransformer's names; shared, not copied, in eval mode.

    Raises ValueError for weights that are missing, too many or of another shape.
    """
    dtype = next((tensor.dtype for tensor in weights.values()), torch.float32)
    with torch.device("meta"):
        model = Transformer(Configuration.of(config), tokenizer, dtype)
    if reason := misfit(model, weights):
        raise ValueError(reason)
    for name, tensor in weights.items():
        place, _, own = name.rpartition(".")
        setattr(model.get_submodule(place), own, torch.nn.Parameter(tensor.detach(), requires_grad=False))
    return model.eval()


def misfit(model: Model, weights: Mapping[str, Tensor]) -> str:
    """Which of these weights is missing, too many or of another shape than the model's; empty where they fit."""
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = next((name for name in expected | given if expected.get(name) != given.get(name)), None)
    return f"{wrong} has shape {given.get(wrong)}, the model needs {expected.get(wrong)}" if wrong else ""


def save(model: Any, folder: str | Path) -> None:
    """Writes a model's weights and configuration as a folder of tensors, which `load` reads."""
    model, folder = as_model(model), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.named_parameters()}
    save_file(weights, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(Configuration.of(model.cfg).fields(), indent=1) + "\n")


def load(folder: str | Path) -> Any:
    """The model in a folder of tensors: config.json with a configuration's fields, and model.safetensors with weights
    by HookedTransformer's names. Raises ValueError for files that are missing or do not fit each other.
    """
    folder = Path(folder)
    try:
        fields = json.loads((folder / "config.json").read_text())
        weights = load_file(str(folder / "model.safetensors"))
        return of_tensors(weights, fields)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"no model in {folder} ({error}): it holds config.json and model.safetensors") from None


def _of_bridge(bridge: Any) -> Any:
    """A Transformer that shares a bridge's weights; raises ValueError where it would compute something else."""
    cfg = _of_bridge_configuration(bridge)
    if reason := unsupported(cfg) or _scaled_positions(bridge):
        raise ValueError(f"a TransformerBridge of such a model cannot be measured: {reason}")
    model = of_tensors(_fitting(dict(bridge.tl_named_parameters()), cfg), vars(cfg), bridge.tokenizer)
    tokens = torch.arange(min(cfg.n_ctx, CHECKED_TOKENS), device=model.embed.W_E.device)[None] % cfg.d_vocab
    with torch.no_grad():
        theirs, ours = bridge(tokens), model(tokens)
        apart = float((theirs - ours).abs().max() / theirs.abs().max())
    if not apart < CLOSE:
        raise ValueError(
            f"the bridge's weights do not give its logits by themselves (they are {apart:.1e} apart): it has parts "
            "that these packages do not run"
        )
    return model


def _of_bridge_configuration(bridge: Any) -> SimpleNamespace:
    """All fields of a bridge's model; how its rotary positions turn is partly told elsewhere."""
    cfg = filled(bridge.cfg)
    if cfg.positional_embedding_type == "rotary":
        rope = getattr(bridge.cfg, "rope_parameters", None) or {}
        cfg.rotary_base = rope.get("rope_theta", cfg.rotary_base)
        if bridge.cfg.rotary_dim is None:
            cfg.rotary_dim = int(cfg.d_head * rope.get("partial_rotary_factor", 1.0))
        if bridge.cfg.architecture == NATIVE:
            cfg.rotary_adjacent_pairs = True  # whatever its configuration says
    return cfg


def _scaled_positions(bridge: Any) -> str:
    """Why positions are others than those of the bridge's configuration, which does not tell; empty where they are not.

    Scaled rotary positions differ little in short rows, so that a check on these would not see them.
    """
    for config in (bridge.cfg, getattr(bridge.original_model, "config", None)):
        for name in ("rope_scaling", "rope_parameters"):
            scaling = getattr(config, name, None) or {}
            kind = scaling.get("rope_type") or scaling.get("type") or "default"
            if kind != "default":
                return f"rotary positions that are scaled ({kind})"
    return ""


def _fitting(weights: dict[str, Tensor], cfg: SimpleNamespace) -> dict[str, Tensor]:
    """A bridge's weights as a Transformer has them: without those that it makes up, with a bias of the output.

    It gives zeros for MLPs that there are not, and weights of norms that have none.
    """
    kind = cfg.normalization_type
    made_up = [".mlp."] * cfg.attn_only + [".ln1.", ".ln2.", "ln_final."] * (kind is None or kind.endswith("Pre"))
    kept = {name: tensor for name, tensor in weights.items() if not any(part in name for part in made_up)}
    if "unembed.b_U" not in kept:
        kept["unembed.b_U"] = kept["unembed.W_U"].new_zeros(cfg.d_vocab)
    return kept


def set_eps(model: Model, eps: float) -> None:
    """Gives all norms of a model another eps, in place, and its configuration."""
    cfg = model.cfg
    if isinstance(cfg, Configuration):
        cfg = replace(cfg, eps=eps)
    else:
        cfg.eps = eps
    for module in model.modules():
        if hasattr(module, "cfg"):
            module.cfg = cfg
        if hasattr(module, "eps"):
            module.eps = eps
