"""What a model computes apart from its weights: a small frozen record of our own, read from TransformerLens's.

It holds what the pure functions (`forward`, `mlp`, `rotary`, `attend`) read, so that two models with the same weights
give the same logits where their configurations are equal. Names are TransformerLens's.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from transformer_lens import HookedTransformerConfig

OF_MLPS = ("act_fn", "d_mlp", "gated_mlp", "parallel_attn_mlp")
OF_ROTARY = ("rotary_dim", "rotary_base", "rotary_adjacent_pairs")
OF_SCALING = ("use_NTK", "NTK", "use_yarn", "yarn", "rotary_scaling", "rotary_base_local")  # beginnings of names


@dataclass(frozen=True)
class Configuration:
    """Sizes, norms, positions, the scale of attention, and MLPs where there are any."""

    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_vocab: int
    n_ctx: int
    attn_only: bool
    attn_scale: float
    normalization_type: str | None
    eps: float
    positional_embedding_type: str
    act_fn: str | None = None  # of MLPs, as the next three
    d_mlp: int | None = None
    gated_mlp: bool = False
    parallel_attn_mlp: bool = False
    rotary_dim: int | None = None  # of rotary positions, as the rest
    rotary_base: float | None = None
    rotary_adjacent_pairs: bool = False
    rotary_scaling: tuple[tuple[str, Any], ...] = ()  # fields that bend frequencies for long contexts, where used

    @classmethod
    def of(cls, cfg: HookedTransformerConfig) -> "Configuration":
        """The record of a HookedTransformer's configuration; fields that change nothing are left at their defaults."""
        unread: set[str] = {"rotary_scaling"}
        unread |= set(OF_MLPS) if cfg.attn_only else set()
        unread |= set() if cfg.positional_embedding_type == "rotary" else set(OF_ROTARY)
        values = {field.name: getattr(cfg, field.name) for field in fields(cls) if field.name not in unread}
        for name in ("attn_scale", "eps", "rotary_base"):
            if name in values:
                values[name] = float(values[name])
        if cfg.positional_embedding_type == "rotary":
            scaling = [field for field in fields(cfg) if field.name.startswith(OF_SCALING)]
            changed = {
                field.name: getattr(cfg, field.name) for field in scaling if getattr(cfg, field.name) != field.default
            }
            values["rotary_scaling"] = tuple(sorted(changed.items()))
        return cls(**values)

    def record(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self) | {"rotary_scaling": [list(pair) for pair in self.rotary_scaling]}
