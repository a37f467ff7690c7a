"""The fields of TransformerLens's configurations that say what a model computes: their types and their defaults.

They are those of `HookedTransformerConfig` 3.9, which files of configurations are written in and TransformerLens 4 no
longer has. A test holds this table against it where it is installed.
"""

from types import NoneType
from typing import Any, NamedTuple


class Field(NamedTuple):
    """What a value may be, and what it is where it is left out."""

    kinds: tuple[type, ...]
    default: Any


REQUIRED = ("d_model", "d_head", "n_layers", "n_ctx")  # whole numbers that have no default
FIELDS = {
    "n_heads": Field((int,), -1),
    "d_mlp": Field((int, NoneType), None),
    "d_vocab": Field((int,), -1),
    "positional_embedding_type": Field((str,), "standard"),
    "n_key_value_heads": Field((int, NoneType), None),
    "attn_only": Field((bool,), False),
    "gated_mlp": Field((bool,), False),
    "uses_rms_norm": Field((bool,), False),
    "eps": Field((float,), 1e-05),
    "layer_norm_folding": Field((bool,), False),
    "act_fn": Field((str,), "relu"),
    "normalization_type": Field((str, NoneType), "LN"),
    "num_experts": Field((int, NoneType), None),
    "experts_per_token": Field((int, NoneType), None),
    "final_rms": Field((bool,), False),
    "use_attn_scale": Field((bool,), True),
    "attn_scale": Field((float,), -1.0),
    "use_qk_norm": Field((bool,), False),
    "clip_qkv": Field((float, NoneType), None),
    "use_logn_attn": Field((bool,), False),
    "train_seq_length": Field((int, NoneType), None),
    "use_dynamic_ntk_rope": Field((bool,), False),
    "use_local_attn": Field((bool,), False),
    "ungroup_grouped_query_attention": Field((bool,), False),
    "window_size": Field((int, NoneType), None),
    "attn_types": Field((list, NoneType), None),
    "attention_dir": Field((str,), "causal"),
    "scale_attn_by_inverse_layer_idx": Field((bool,), False),
    "d_vocab_out": Field((int,), -1),
    "parallel_attn_mlp": Field((bool,), False),
    "rotary_dim": Field((int, NoneType), None),
    "post_embedding_ln": Field((bool,), False),
    "rotary_base": Field((float, int), 10000),
    "rotary_base_local": Field((float, int, NoneType), None),
    "rotary_scaling_factor": Field((float,), 1.0),
    "rotary_adjacent_pairs": Field((bool,), False),
    "load_in_4bit": Field((bool,), False),
    "quantization_method": Field((str, NoneType), None),
    "relative_attention_max_distance": Field((int, NoneType), None),
    "relative_attention_num_buckets": Field((int, NoneType), None),
    "decoder_start_token_id": Field((int, NoneType), None),
    "tie_word_embeddings": Field((bool,), False),
    "use_normalization_before_and_after": Field((bool,), False),
    "attn_scores_soft_cap": Field((float,), -1.0),
    "output_logits_soft_cap": Field((float,), -1.0),
    "use_NTK_by_parts_rope": Field((bool,), False),
    "NTK_by_parts_low_freq_factor": Field((float,), 1.0),
    "NTK_by_parts_high_freq_factor": Field((float,), 4.0),
    "NTK_by_parts_factor": Field((float,), 8.0),
    "NTK_original_ctx_len": Field((int,), 8192),
    "use_yarn_rope": Field((bool,), False),
    "yarn_factor": Field((float,), 1.0),
    "yarn_attention_factor": Field((float,), 1.0),
    "yarn_beta_fast": Field((float,), 32.0),
    "yarn_beta_slow": Field((float,), 1.0),
    "yarn_original_max_position_embeddings": Field((int,), 4096),
    "yarn_truncate": Field((bool,), True),
    "yarn_global_attn_only": Field((bool,), False),
    "use_attention_sinks": Field((bool,), False),
    "norm_topk_prob": Field((bool,), False),
}
KINDS: dict[str, tuple[type, ...]] = dict.fromkeys(REQUIRED, (int,)) | {
    name: field.kinds for name, field in FIELDS.items()
}
DEFAULTS: dict[str, Any] = {name: field.default for name, field in FIELDS.items()} | {"original_architecture": None}
