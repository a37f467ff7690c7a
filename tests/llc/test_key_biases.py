"""Key biases are held against their exact law only in models whose attention they cannot change."""

import numpy as np
import pytest
import torch

from llc import engine, restrict
from llc.diagnose import health
from tests.conftest import GPT2, hooked_only, make_model
from tests.llc.conftest import SHORT

TOKENS = torch.randint(5, (6, 8), generator=torch.Generator().manual_seed(2))
SMALL = {"d_vocab": 5, "d_model": 8, "d_head": 2, "n_heads": 2}
CONFIGURATIONS = {
    "shortformer": {},
    "standard": {"positional_embedding_type": "standard"},
    "MLPs": GPT2,
    "soft cap of the logits": {"output_logits_soft_cap": 5.0},
    "rotary": {"positional_embedding_type": "rotary", "rotary_dim": 2},
    "soft cap": {"attn_scores_soft_cap": 3.0},
    "normed queries and keys": {"use_qk_norm": True},
    "clipped": {"clip_qkv": 0.5},
    "sinks": {"use_attention_sinks": True},
}


@hooked_only
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_key_biases_are_free_where_moving_them_changes_nothing(name: str) -> None:
    model = make_model(1, **(SMALL | CONFIGURATIONS[name]))
    restriction = restrict.parse("L0H1", dict(model.named_parameters()), model.cfg)
    with torch.no_grad():
        before = model(TOKENS)
        model.blocks[0].attn.b_K[1] += 1.0
        change = float((model(TOKENS) - before).abs().max())
    assert restrict.key_biases_are_free(model.cfg) == (change < 1e-4), change
    assert (restriction.key_bias(model.cfg) is None) == (change > 1e-3)


@hooked_only
@pytest.mark.parametrize("name", ["standard", "soft cap", "normed queries and keys", "clipped", "sinks"])
def test_health_does_not_accuse_a_sampler_of_what_the_loss_does(name: str) -> None:
    """The loss holds key biases near the center here, so that their draws would vary less than the law says."""
    model = make_model(1, **(SMALL | CONFIGURATIONS[name]))
    trace = engine.sample(model, TOKENS, ["L0H1"], settings=SHORT, seed=0)["L0H1"]
    record, free = health(trace), name == "standard"
    assert ("key_bias" in trace) == free
    assert trace.attrs["key_biases"] == (2 if free else 0)
    assert bool(np.isfinite(record.key_bias_z)) == free
    assert free or "key biases" not in record.advice.item()
