"""A sum of interventions as hooks: a set of changes, the same in whatever order it was added up.

Heads are replaced first. A cut path then takes out of what its target reads what its source writes in that very run,
after everything else that changes the source, less what stands in for it: of a head that is set to zero, nothing is
left to cut. What is named twice is done once. Two different values for one head, or for one path, contradict each other
and are refused. A head and a path from it may have different ones: this path's target reads the path's value, all
others the head's.

Functions of your own keep their place: those that stand before every intervention run before them, all others after.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from ablations import forward
from ablations.heads import Hook, Interventions, Replaced, fitted, z_hook
from ablations.models import Config, Model
from ablations.names import head_name, mlp_layer
from ablations.paths import Cut, Source, layers_read, path_name, read_hook, target_norm

Key = TypeVar("Key", bound=Hashable)
Named = TypeVar("Named", Replaced, Cut)
Written = dict[Source, Tensor]  # what each source of a cut path writes (of a head: its z); renewed by every run


def as_hooks(model: Model, interventions: Interventions) -> list[tuple[str, Hook]]:
    """Hooks that make all these changes at once.

    Raises ValueError for two different values for one head or one path, and for cuts of which some recompute the norm
    of a layer and others freeze it.
    """
    functions = [function for _, function in interventions]
    replaced = _once(
        ((one.head, one) for one in functions if isinstance(one, Replaced)),
        lambda head: f"{head_name(head)} is replaced by two different values",
    )
    cuts = _once(
        ((one.path, one) for one in functions if isinstance(one, Cut)),
        lambda path: f"{path_name(path)} is cut with two different values in its place",
    )
    frozen = _frozen_norms(cuts.values(), model.cfg)
    ours = [isinstance(function, Replaced | Cut) for function in functions]
    first = ours.index(True) if any(ours) else len(ours)
    after = [pair for pair, is_ours in list(zip(interventions, ours, strict=True))[first:] if not is_ours]

    written: Written = {}
    scales = {norm: _frozen_norm(norm, model.cfg) for norm in frozen}
    final = scales.pop("ln_final", ())  # kept before the output's cuts: at the same place
    hooks: list[tuple[str, Hook]] = [*interventions[:first], *final]
    hooks += [(z_hook(head), one) for head, one in replaced.items()]
    hooks += [(read_hook(path, model.cfg), _subtraction(one, model, written)) for path, one in cuts.items()]
    hooks += after
    # Last at their places, so that they see what is there after everything that changes it.
    hooks += [hook for pair in scales.values() for hook in pair]
    sources = dict.fromkeys(path.source for path in cuts if path.source != "b_O")
    return hooks + [_reading(source, written) for source in sources]


def _once(named: Iterable[tuple[Key, Named]], clash: Callable[[Key], str]) -> dict[Key, Named]:
    """Each by its key, once; raises ValueError for two values for one."""
    distinct: dict[Key, Named] = {}
    for key, one in named:
        if not _same(distinct.setdefault(key, one).value, one.value):
            raise ValueError(f"{clash(key)}: keep one of them")
    return distinct


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two substitutes are the same for every row and position."""
    try:
        return one is other or bool((one == other.to(one.device)).all())
    except RuntimeError:  # of shapes that do not fit each other
        return False


def _frozen_norms(cuts: Iterable[Cut], cfg: Config) -> list[str]:
    """The norms that keep their scale, by name; there is none in a model without norms."""
    ways: dict[str, str] = {}
    for one in cuts if cfg.normalization_type is not None else ():
        norm = target_norm(one.path.target, cfg)
        if ways.setdefault(norm, one.layer_norm) != one.layer_norm:
            _, layer, kind = norm.split(".") if "." in norm else ("", "", norm)
            words = {"ln1": f"norm of layer {layer}", "ln2": f"norm of MLP{layer}", "ln_final": "final norm"}[kind]
            raise ValueError(f"some cuts recompute the {words}, others freeze it: give all of them one layer_norm")
    return [norm for norm, way in ways.items() if way == "freeze"]


def _write_hook(source: str) -> str:
    """The hook at which stands what a source that is no head writes."""
    layer = mlp_layer(source)
    return f"hook_{source}" if layer is None else f"blocks.{layer}.hook_mlp_out"


def _reading(source: Source, written: Written) -> tuple[str, Hook]:
    if isinstance(source, str):
        return _write_hook(source), lambda activation, hook: written.update({source: activation})
    return z_hook(source), lambda z, hook: written.update({source: z[:, :, source[1]]})


def _subtraction(one: Cut, model: Model, written: Written) -> Hook:
    source, target, _ = one.path

    def lost(like: Tensor) -> Tensor:
        if source == "b_O":
            layers = range(layers_read(target, model.cfg)[0])
            total = torch.stack([model.blocks[before].attn.b_O for before in layers]).sum(0)
            return total - fitted(one.value, like, "the biases")
        if isinstance(source, str):
            return written[source] - fitted(one.value, written[source], _write_hook(source))
        z = written[source]
        return (z - fitted(one.value, z, "z")) @ model.blocks[source[0]].attn.W_O[source[1]]

    if isinstance(target, str):
        return lambda residual, hook: residual - lost(residual)
    head = target[1]

    def hook(read: Tensor, hook: HookPoint) -> Tensor:
        read = read.clone()
        read[:, :, head] -= lost(read[:, :, head])
        return read

    return hook


def _frozen_norm(norm: str, cfg: Config) -> tuple[tuple[str, Hook], tuple[str, Hook]]:
    """Keeps the scale that a norm has without the cuts, and uses it."""
    block, _, kind = norm.rpartition(".")
    uncut: list[Tensor] = []

    def keep(residual: Tensor, hook: HookPoint) -> None:
        scale = (forward.centred(cfg, residual).pow(2).mean(-1, keepdim=True) + cfg.eps).sqrt()
        uncut[:] = [scale.unsqueeze(2) if kind == "ln1" else scale]  # of every head

    def use(scale: Tensor, hook: HookPoint) -> Tensor:
        return uncut[0].expand_as(scale)

    after_heads = kind == "ln2" and not cfg.parallel_attn_mlp
    read = f"{block}.hook_resid_{'mid' if after_heads else 'pre'}"
    if norm == "ln_final":
        read = f"blocks.{cfg.n_layers - 1}.hook_resid_post"
    return (read, keep), (f"{norm}.hook_scale", use)
