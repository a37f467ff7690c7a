"""Models of every kind are one model: TransformerLens's own, bridges, and tensors in a folder give the same numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedModel

from ablations import ablate, cut, effects, forward, heads, lens_fields, models
from ablations.configuration import Configuration, unsupported
from ablations.transformer import Transformer
from circuits import discover, planted
from llc import QUICK, sample
from tests.conftest import GPT2, PYTHIA, hooked_only, make_model

pytestmark = pytest.mark.both_majors

SIZES = {"n_layers": 2, "d_model": 24, "n_ctx": 20, "d_head": 6, "n_heads": 4, "d_vocab": 50}
KINDS: dict[str, dict[str, Any]] = {
    "shortformer": {"attn_only": True, "positional_embedding_type": "shortformer"},
    "standard": {"attn_only": True, "positional_embedding_type": "standard"},
    "no norm": {"attn_only": True, "normalization_type": None},
    "folded norm": {"attn_only": True, "normalization_type": "LNPre"},
    "gpt2": GPT2,
    "pythia": PYTHIA,
    "llama": GPT2 | {"gated_mlp": True, "normalization_type": "RMS", "positional_embedding_type": "rotary"},
    "adjacent pairs": PYTHIA | {"rotary_adjacent_pairs": True, "rotary_dim": 4},
    "solu": GPT2 | {"act_fn": "solu_ln"},
}
FAR = 1e-3  # what the same weights never are apart, and another function always is


def ours(model: Any, **changed: Any) -> Transformer:
    """Our own model with another's weights, and its configuration but for what is changed."""
    return models.of_tensors(forward.parameters_of(model), Configuration.of(model.cfg).fields() | changed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_pure_functions_and_module_are_one_function(kind: str, dtype: torch.dtype) -> None:
    model = make_model(dtype=dtype, **SIZES | KINDS[kind])
    tokens = torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(2))
    by_functions = forward.logits(forward.weights_of(model), Configuration.of(model.cfg), tokens)
    close = 1e-5 if dtype == torch.float32 else 1e-10
    for each in (model, ours(model)):
        apart = float((each(tokens) - by_functions).abs().max() / by_functions.abs().max())
        assert apart < close, type(each)
    other = ours(model, attn_scale=2 * Configuration.of(model.cfg).attn_scale)
    assert float((other(tokens) - by_functions).abs().max() / by_functions.abs().max()) > FAR, "negative control"


@hooked_only
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_weights_of_a_hooked_transformer(kind: str, dtype: torch.dtype) -> None:
    fields = SIZES | KINDS[kind] | {"dtype": dtype}
    made = []
    for build in (models.new, lambda fields: Transformer(Configuration.of(fields), dtype=dtype)):
        torch.manual_seed(5)
        made.append(dict(build(fields).named_parameters()))
    assert list(made[0]) == list(made[1])
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


@hooked_only
def test_fields_and_defaults_are_those_of_transformer_lens() -> None:
    config = models.lens_config(SIZES | {"attn_only": True})
    given = vars(type(config)(d_model=24, d_head=6, n_layers=2, n_ctx=20, n_heads=4, d_vocab=50, device="cpu"))
    derived = {"n_heads", "d_vocab", "d_vocab_out", "d_mlp", "attn_scale"}
    assert {name: given[name] for name in lens_fields.FIELDS if name not in derived} == {
        name: field.default for name, field in lens_fields.FIELDS.items() if name not in derived
    }
    filled = Configuration.of(SIZES | {"act_fn": "relu"})
    assert (filled.d_mlp, filled.attn_scale) == (given["d_mlp"], float(given["attn_scale"]))


@pytest.mark.parametrize("kind", ["shortformer", "standard", "gpt2", "pythia"])
def test_interventions_and_chains_are_the_same(kind: str) -> None:
    model = make_model(**SIZES | KINDS[kind])
    tokens = torch.randint(50, (6, 16), generator=torch.Generator().manual_seed(3))
    changed = cut(model, ["L0H1->L1H2.k", "L0H3->L1H2.v"], layer_norm="freeze") + heads.mean(model, "L0H0", tokens)
    same = ours(model)
    of_both = [effects.token_effects(each, tokens, changed) for each in (model, same)]
    assert torch.allclose(*of_both, atol=2e-6)
    assert float(of_both[0].abs().max()) > FAR, "negative control: the changes do something"
    for way in ("functions", "hooks"):
        removed = [ablate(each, tokens, ["L1H2", "L0H1->L1H2.k"], method="zero", way=way) for each in (model, same)]
        assert torch.allclose(removed[0].effect, removed[1].effect, atol=2e-6)
    settings = replace(QUICK, num_draws=12, num_burnin=4)
    traces = [sample(each, tokens, ["L1H2", "L0+unembed"], settings=settings, seed=0) for each in (model, same)]
    for name, trace in traces[0].items():
        assert abs(trace.loss - traces[1][name].loss).max() < 1e-5


def native(**fields: Any) -> TransformerBridge:
    """A bridge with random weights that are not trivial."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources import boot_native

    bridge = boot_native(TransformerBridgeConfig(**SIZES | {"act_fn": "gelu"} | fields)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in bridge.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return bridge


of_four = pytest.mark.skipif(models.HOOKED, reason="TransformerLens 3 has no bridges without transformers")


@of_four
@pytest.mark.parametrize(
    "fields",
    [
        {"attn_only": True},
        {"attn_only": True, "normalization_type": None},
        {"attn_only": True, "positional_embedding_type": "rotary"},
        {"d_mlp": 32, "gated_mlp": True, "normalization_type": "RMS"},
        {"d_mlp": 32, "positional_embedding_type": "rotary", "rotary_dim": 2},
    ],
)
def test_a_native_bridge_is_taken(fields: dict[str, Any]) -> None:
    bridge, tokens = native(**fields), torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(1))
    model = models.as_model(bridge)
    by_functions = forward.logits(forward.weights_of(bridge), model.cfg, tokens)
    for found in (model(tokens), by_functions):
        assert float((found - bridge(tokens)).abs().max() / bridge(tokens).abs().max()) < 1e-5
    assert model.blocks[0].attn.W_Q.data_ptr() in {parameter.data_ptr() for parameter in bridge.parameters()}
    removed = ablate(bridge, tokens, "L1H2", method="zero", way="hooks").effect
    with torch.no_grad():
        bridge.blocks[1].attn.o.weight[:, 12:18] = 0
    left = effects.token_losses(bridge, tokens) - effects.token_losses(model, tokens)
    assert float(left.abs().max()) == 0, "the weights are shared"
    assert float(ablate(bridge, tokens, "L1H2", method="zero").effect.abs().max()) < 1e-6 < float(removed.abs().max())
    trace = sample(bridge, tokens, "L0H1", settings=QUICK, seed=0)["L0H1"]
    assert trace.attrs["path"] == "fast, fp32"


def tokenizer_of(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"w{number}": number for number in range(50)}, unk_token="w0"))
    fast = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="w1", eos_token="w1", pad_token="w1")
    fast.save_pretrained(folder)


@pytest.mark.parametrize(
    "model",
    [
        GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=4, n_embd=24, n_positions=20, vocab_size=50)),
        GPTNeoXForCausalLM(
            GPTNeoXConfig(
                num_hidden_layers=2, num_attention_heads=4, hidden_size=32, intermediate_size=64, vocab_size=50,
                max_position_embeddings=20,
            )
        ),
    ],
)  # fmt: skip
def test_a_bridge_of_transformers_is_taken(model: PreTrainedModel, tmp_path: Path) -> None:
    model.eval().save_pretrained(tmp_path)
    tokenizer_of(tmp_path)
    bridge = TransformerBridge.boot_transformers(str(tmp_path))
    tokens = torch.randint(50, (3, 20), generator=torch.Generator().manual_seed(1))
    same = models.as_model(bridge)
    assert torch.allclose(same(tokens), model(tokens).logits, atol=1e-5)
    tied = same.embed.W_E.data_ptr() == same.unembed.W_U.data_ptr()
    assert tied == isinstance(model, GPT2LMHeadModel), "one matrix where the model has one"


@of_four
def test_bridges_that_compute_something_else_are_refused() -> None:
    for fields, reason in (
        ({"attn_only": True, "n_key_value_heads": 2}, "grouped keys and values"),
        ({"attn_only": True, "attn_scores_soft_cap": 5.0}, "soft caps"),
    ):
        with pytest.raises(ValueError, match=reason):
            models.as_model(native(**fields))
    bridge = native(attn_only=True)
    bridge.cfg.attn_scale = 7.0  # says something that the model does not do
    with pytest.raises(ValueError, match="do not give its logits by themselves"):
        models.as_model(bridge)
    bridge = native(attn_only=True, positional_embedding_type="rotary")
    bridge.cfg.rope_scaling = {"rope_type": "yarn", "factor": 4.0}
    with pytest.raises(ValueError, match=r"rotary positions that are scaled \(yarn\)"):
        models.as_model(bridge)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_tensors(kind: str, tmp_path: Path) -> None:
    model = make_model(**SIZES | KINDS[kind])
    models.save(model, tmp_path)
    read, tokens = models.load(tmp_path), torch.randint(50, (3, 20))
    assert read.cfg == Configuration.of(model.cfg)
    assert torch.allclose(read(tokens), model(tokens), atol=1e-5)


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    models.save(make_model(**SIZES | KINDS["shortformer"]), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"unembed.b_U": torch.zeros(7)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"unembed.b_U has shape \(7,\), the model needs \(50,\)"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text('{"n_layers": 2}')
    with pytest.raises(ValueError, match="a configuration without d_model"):
        models.load(tmp_path)
    with pytest.raises(ValueError, match=r"it holds config\.json and model\.safetensors"):
        models.load(tmp_path / "nowhere")


def test_what_is_no_model_is_refused() -> None:
    for wrong in (torch.nn.Linear(2, 2), "gpt2", None):
        with pytest.raises(ValueError, match="is no model: give a HookedTransformer, a TransformerBridge, or what"):
            models.as_model(wrong)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"embed.W_E has shape None, the model needs \(50, 24\)"):
        models.of_tensors({}, SIZES | {"attn_only": True})
    with pytest.raises(ValueError, match="NoneType is no configuration"):
        Configuration.of(None)
    with pytest.raises(ValueError, match="rows of 21 tokens do not fit the model's context of 20"):
        Transformer(Configuration.of(SIZES | {"attn_only": True}))(torch.zeros(1, 21, dtype=torch.int64))


def test_models_without_record_say_why() -> None:
    assert unsupported(SIZES | {"attn_only": True, "n_key_value_heads": 2}) == "grouped keys and values"
    with pytest.raises(ValueError, match="no model that these packages run: positions 'alibi'"):
        Configuration.of(SIZES | {"positional_embedding_type": "alibi"})


def test_a_planted_circuit_is_found_in_either() -> None:
    plant = planted.induction()
    task = plant.tasks[0]
    own = ours(plant.model)
    found = discover.path_effects(own, task, ["L0H1->L1H1.k"], way="hooks").effect
    again = discover.path_effects(plant.model, task, ["L0H1->L1H1.k"], way="functions").effect
    assert found == pytest.approx(again, abs=1e-4)
