"""What a model computes apart from its weights: a small frozen record of our own, by TransformerLens's names.

It holds what the pure functions (`forward`, `mlp`, `rotary`, `attend`) read, so that two models with the same weights
give the same logits where their records are equal. It is read from a HookedTransformer's configuration, from a
TransformerBridge's, or from fields as in a config.json (`Configuration.of`), and describes exactly the models that
these functions run: others are refused, with the reason (`unsupported`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import SimpleNamespace
from typing import Any, ClassVar, TypeAlias

from ablations import lens_fields, mlp

OF_MLPS = ("act_fn", "d_mlp", "gated_mlp", "parallel_attn_mlp")
OF_ROTARY = ("rotary_dim", "rotary_base", "rotary_adjacent_pairs")
OF_SCALING = ("use_NTK", "NTK", "use_yarn", "yarn", "rotary_scaling", "rotary_base_local")  # beginnings of names
NORMS = (None, "LN", "LNPre", "RMS", "RMSPre")
POSITIONS = ("standard", "shortformer", "rotary")
POST_NORM = ("Olmo2ForCausalLM", "Olmo3ForCausalLM")  # architectures that normalise what their parts write
Source: TypeAlias = Any  # a Configuration, TransformerLens's own, or a mapping of fields to values


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

    # What no model has that this class describes, for readers of any configuration.
    attention_dir: ClassVar[str] = "causal"
    n_key_value_heads: ClassVar[None] = None
    attn_scores_soft_cap: ClassVar[float] = -1.0
    use_qk_norm: ClassVar[bool] = False
    use_attention_sinks: ClassVar[bool] = False
    clip_qkv: ClassVar[None] = None
    default_prepend_bos: ClassVar[bool] = True

    @property
    def d_vocab_out(self) -> int:
        """The number of logits."""
        return self.d_vocab

    @classmethod
    def of(cls, source: Source) -> "Configuration":
        """The record of a model; fields that change nothing are left at their defaults.

        source: a HookedTransformer's configuration or a TransformerBridge's, or a mapping of such fields to values,
        where those that are left out have TransformerLens's defaults. Raises ValueError for a model that the pure
        functions do not run.
        """
        if isinstance(source, Configuration):
            return source
        cfg = filled(source)
        if reason := unsupported(cfg):
            raise ValueError(f"no model that these packages run: {reason}")
        unread: set[str] = {"rotary_scaling"}
        unread |= set(OF_MLPS) if cfg.attn_only else set()
        unread |= set() if cfg.positional_embedding_type == "rotary" else set(OF_ROTARY)
        values = {field.name: getattr(cfg, field.name) for field in fields(cls) if field.name not in unread}
        for name in ("attn_scale", "eps", "rotary_base"):
            if name in values:
                values[name] = float(values[name])
        if cfg.positional_embedding_type == "rotary":
            values["rotary_scaling"] = _scaling(cfg)
        return cls(**values)

    def fields(self) -> dict[str, Any]:
        """The same as TransformerLens's fields, without those that say nothing here; `of` reads them."""
        said = {name: value for name, value in asdict(self).items() if value is not None and name != "rotary_scaling"}
        return said | {"normalization_type": self.normalization_type} | dict(self.rotary_scaling)

    def record(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self) | {"rotary_scaling": [list(pair) for pair in self.rotary_scaling]}


def as_fields(source: Source) -> dict[str, Any]:
    """The fields of a configuration of any kind, by TransformerLens's names, as far as they are said."""
    if isinstance(source, Configuration):
        return source.fields()
    if isinstance(source, Mapping):
        return dict(source)
    if not hasattr(source, "__dict__"):
        raise ValueError(f"{type(source).__name__} is no configuration: give fields by name, or a model's cfg")
    return dict(vars(source))


def filled(source: Source) -> SimpleNamespace:
    """All fields of a configuration that say what a model computes, those that follow from others included."""
    given = as_fields(source)
    if missing := [name for name in (*lens_fields.REQUIRED, "d_vocab") if name not in given]:
        raise ValueError(f"a configuration without {missing[0]}: give all sizes of the model")
    cfg = SimpleNamespace(**lens_fields.DEFAULTS | given)
    if cfg.use_attn_scale and cfg.attn_scale == -1:
        cfg.attn_scale = cfg.d_head**0.5
    if cfg.n_heads == -1:
        cfg.n_heads = cfg.d_model // cfg.d_head
    if cfg.d_vocab_out == -1:
        cfg.d_vocab_out = cfg.d_vocab
    if cfg.d_mlp is None:
        cfg.d_mlp = 4 * cfg.d_model
    if cfg.positional_embedding_type == "rotary" and cfg.rotary_dim is None:
        cfg.rotary_dim = cfg.d_head
    return cfg


def _scaling(cfg: SimpleNamespace) -> tuple[tuple[str, Any], ...]:
    """Fields of rotary positions that are not at their defaults, by name."""
    usual = {name: value for name, value in lens_fields.DEFAULTS.items() if name.startswith(OF_SCALING)}
    return tuple(sorted((name, getattr(cfg, name)) for name in usual if getattr(cfg, name) != usual[name]))


def unsupported(source: Source) -> str:
    """Why the pure functions do not run such a model; empty when they do."""
    if isinstance(source, Configuration):
        return ""
    cfg = source if isinstance(source, SimpleNamespace) else filled(source)
    checks = {
        f"normalization_type {cfg.normalization_type!r}": cfg.normalization_type not in NORMS,
        f"positions {cfg.positional_embedding_type!r}": cfg.positional_embedding_type not in POSITIONS,
        "rotary positions that depend on the length of the text": cfg.use_dynamic_ntk_rope,
        "grouped keys and values": cfg.n_key_value_heads not in (None, cfg.n_heads),
        "local or bidirectional attention": cfg.use_local_attn or cfg.attention_dir != "causal",
        "final_rms or a post-embedding norm": cfg.final_rms or cfg.post_embedding_ln,
        "norms of what attention and MLPs write": cfg.use_normalization_before_and_after
        or cfg.original_architecture in POST_NORM,
        "soft caps or scores scaled by layer": cfg.attn_scores_soft_cap > 0
        or cfg.output_logits_soft_cap > 0
        or cfg.scale_attn_by_inverse_layer_idx,
        "scores that are not scaled": not cfg.use_attn_scale,
        "normed, clipped or scaled queries and keys, or attention sinks": cfg.use_qk_norm
        or cfg.clip_qkv is not None
        or cfg.use_logn_attn
        or cfg.use_attention_sinks,
        "logits of another vocabulary": cfg.d_vocab_out != cfg.d_vocab,
    }
    return mlp.unsupported(cfg) or next((reason for reason, holds in checks.items() if holds), "")
