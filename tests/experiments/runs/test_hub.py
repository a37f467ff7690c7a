"""Models from elsewhere: folders laid out like the repositories they come from, and what is refused. No network."""

import contextlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from ablations import forward
from ablations.configuration import as_fields
from ablations.models import Model
from experiments import corpora
from experiments.corpora import documents, tokenizer
from experiments.runs import hub, state_dicts
from experiments.runs.adopt import adopt
from tests.conftest import make_model

pytestmark = pytest.mark.both_majors

TOKENS = torch.arange(12)[None] * 3
SAID = {"positional_embedding_type": "shortformer"}


def words(*special: str, size: int = 50) -> Tokenizer:
    """A vocabulary of words: these, and w0, w1, ... up to 50."""
    every = [*special, *(f"w{number}" for number in range(size - len(special)))]
    made = Tokenizer(models.WordLevel({token: number for number, token in enumerate(every)}))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    made.add_special_tokens(list(special))
    return made


def save_tokenizer(folder: Path, made: Tokenizer, bos: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    if bos:
        (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": bos}))


@pytest.fixture
def og(tmp_path: Path) -> Path:
    """A folder like the authors' repository: checkpoints/checkpoint_0000010.pth, ..."""
    (tmp_path / "og" / "checkpoints").mkdir(parents=True)
    for step in (10, 200, 0):
        torch.save(make_model(step).state_dict(), tmp_path / "og" / "checkpoints" / f"checkpoint_{step:07d}.pth")
    return tmp_path / "og"


def close(found: Model, given: Model) -> bool:
    with torch.no_grad():
        return torch.allclose(found(TOKENS), given(TOKENS), rtol=1e-5, atol=1e-5)


def test_checkpoints_of_a_folder(og: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = hub.checkpoints(og, SAID)
    assert (found.name, found.steps, found.tokens_per_step) == ("og", [0, 10, 200], None)
    for step in found.steps:
        model = found.model(step)
        assert close(model, make_model(step))
        assert not close(model, make_model(step + 1))
        assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
        assert model.cfg.normalization_type == "LN"  # not folded
    assert torch.equal(torch.get_rng_state(), before)


def test_what_weights_do_not_tell_is_asked_for(og: Path) -> None:
    with pytest.raises(
        ValueError, match="og, step 10: weights do not tell positional_embedding_type: say it in a config"
    ):
        hub.checkpoints(og).model(10)
    standard = hub.checkpoints(og, {"positional_embedding_type": "standard"}).model(10)
    assert not close(standard, make_model(10))
    assert close(standard, make_model(10, positional_embedding_type="standard"))
    (og / "config.json").write_text(json.dumps(SAID | {"tokens_per_step": 25_600, "tokenizer_name": "someone/words"}))
    assert close(hub.checkpoints(og).model(10), make_model(10))
    assert hub.checkpoints(og).tokens_per_step == 25_600
    assert close(hub.checkpoints(og, make_model().cfg).model(200), make_model(200))
    with pytest.raises(ValueError, match="config has 'positions': use fields of HookedTransformerConfig"):
        hub.checkpoints(og, {"positions": "standard"})


@pytest.mark.parametrize(
    "kind",
    [
        {"positional_embedding_type": "standard"},
        {"positional_embedding_type": "standard", "normalization_type": "LNPre"},
        {"positional_embedding_type": "standard", "normalization_type": None, "n_layers": 3},
        {"positional_embedding_type": "standard", "attn_only": False, "act_fn": "gelu_new", "d_mlp": 17},
        {"positional_embedding_type": "rotary", "rotary_dim": 2, "attn_only": False, "act_fn": "gelu", "d_mlp": 17,
         "parallel_attn_mlp": True},
        {"positional_embedding_type": "shortformer", "eps": 1e-2, "attn_scale": 1.0},
    ],
    ids=lambda kind: " ".join(map(str, kind.values())),
)  # fmt: skip
def test_architectures(kind: dict, tmp_path: Path) -> None:
    model = make_model(3, **kind)
    torch.save(model.state_dict(), tmp_path / "model-3.pt")
    assert close(hub.checkpoints(tmp_path, model.cfg).model(3), model)
    said = {name: value for name, value in as_fields(model.cfg).items() if not isinstance(value, torch.dtype)}
    (tmp_path / "config.json").write_text(json.dumps(said | {"device": "cuda"}, default=str))
    assert close(hub.checkpoints(tmp_path).model(3), model)
    other = hub.checkpoints(tmp_path, {"eps": 3.0}).model(3)
    assert not close(other, model) or model.cfg.normalization_type is None


def test_layouts(tmp_path: Path) -> None:
    model = make_model(4)
    save_file({n: t.clone() for n, t in model.state_dict().items()}, tmp_path / "step_0000007.safetensors")
    torch.save(model.state_dict(), tmp_path / "tokens_0000022020096.pth")
    torch.save(model.state_dict(), tmp_path / "model_final.pth")
    (tmp_path / "README.md").write_text("7")
    found = hub.checkpoints(tmp_path, SAID)
    assert found.steps == [7, 22020096]
    assert all(close(found.model(step), model) for step in found.steps)
    (tmp_path / "checkpoints").mkdir()
    torch.save(make_model(5).state_dict(), tmp_path / "checkpoints" / "checkpoint_1.pth")
    assert hub.checkpoints(str(tmp_path), SAID).steps == [1]
    torch.save(make_model(5).state_dict(), tmp_path / "checkpoints" / "checkpoint_01.pt")
    with pytest.raises(ValueError, match=r"two checkpoints at step 1, checkpoints/checkpoint_.* keep one of them"):
        hub.checkpoints(tmp_path, SAID)


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (("model_step1000_loss2.31", "model_step2000_loss2.05"), [1000, 2000]),  # the loss falls
        (("L2_100_2.31", "L2_200_2.05"), [100, 200]),
        (("step_100_v2", "step_200_v2"), [100, 200]),
        (("epoch=3-step=1000", "epoch=4-step=2000"), [1000, 2000]),
        (("checkpoint-476000-1",), [476_000]),
        (("SoLU_2L_v9_000100", "SoLU_2L_v9_000200"), [100, 200]),
        (("100_2024-05-01", "200_2024-05-01"), [100, 200]),
        (("100_2024-05-01", "200_2024-05-02"), "do not say which number is the step: rename them"),
        (("model_1000", "model_v2_2000"), "do not say which number is the step: rename them"),
        (("SoLU_9L_v11",), "do not say which number is the step: rename them"),
        (("model-00001-of-00002", "model-00002-of-00002"), "is one of several parts of a checkpoint"),
    ],
)
def test_steps_in_names(names: tuple[str, ...], steps: list[int] | str, tmp_path: Path) -> None:
    for name in names:
        torch.save(make_model(1).state_dict(), tmp_path / f"{name}.pth")
    if isinstance(steps, str):
        with pytest.raises(ValueError, match=steps):
            hub.checkpoints(tmp_path, SAID)
    else:
        assert hub.checkpoints(tmp_path, SAID).steps == steps


WRAPS: dict[str, Callable[[dict], object]] = {
    "model": lambda state: {"model": state, "step": 10, "optimizer": {"state": {0: torch.ones(2)}}},
    "state_dict": lambda state: {"state_dict": state},
    "deep": lambda state: {"ckpt": {"model_state_dict": state}, "epoch": 1},
    "module": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled": lambda state: {"model": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()}},
    "without buffers": lambda state: {n: t for n, t in state.items() if not n.endswith(("mask", "IGNORE"))},
    "bfloat16": lambda state: {n: t.bfloat16() if t.is_floating_point() else t for n, t in state.items()},
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_wrapped_state_dicts(wrap: str, tmp_path: Path) -> None:
    model = make_model(6)
    torch.save(WRAPS[wrap](model.state_dict()), tmp_path / "10.pth")
    found = hub.checkpoints(tmp_path, SAID).model(10)
    for parameter in model.parameters():
        parameter.data = parameter.bfloat16().float() if wrap == "bfloat16" else parameter
    assert close(found, model)


class Marks:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused(zipped: bool, og: Path, tmp_path: Path) -> None:
    path, marker = og / "checkpoints" / "checkpoint_0000010.pth", tmp_path / "marker"
    content = make_model().state_dict() | {"more": Marks(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"og, step 10: checkpoint_0000010.pth holds more than tensors") as refusal:
        hub.checkpoints(og, SAID).model(10)
    assert "weights_only" not in str(refusal.value)  # torch's own message says how to load it all the same
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # negative control


def spoil(change: Callable[[dict], object]) -> Callable[[Path], object]:
    return lambda path: torch.save(change(make_model().state_dict()), path)


def spoiled(name: str, value: float) -> Callable[[dict], dict]:
    return lambda state: state | {name: torch.full_like(state[name], value)}


W_E = "embed.W_E"
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "text": (lambda path: path.write_text("weights"), "is no checkpoint"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:900]), "cannot be read|is no checkpoint"),
    "a pickled number": (lambda path: path.write_bytes(pickle.dumps(3)), "cannot be read"),
    "a tensor": (lambda path: torch.save(torch.ones(3), path), "holds no state dicts"),
    "another library's": (
        lambda path: torch.save({"transformer.wte.weight": torch.ones(3, 3)}, path),
        "no state dicts",
    ),
    "two of them": (spoil(lambda state: {"model": state, "ema": state}), "holds 2 state dicts"),
    "two prefixes": (spoil(lambda s: s | {f"ema.{n}": t for n, t in s.items()}), "holds 2 state dicts"),
    "one missing": (spoil(lambda s: {n: t for n, t in s.items() if n != "unembed.b_U"}), "unembed.b_U has shape None"),
    "one too many": (spoil(lambda s: s | {"probe.w": torch.ones(2)}), "probe.w has shape .2,., the model needs None"),
    "transposed": (spoil(lambda s: s | {"unembed.W_U": s["unembed.W_U"].T}), "unembed.W_U has shape .50, 24."),
    "no heads": (spoil(lambda s: s | {"blocks.0.attn.W_Q": torch.ones(24, 18)}), "no W_Q of .head, d_model, d_head."),
    "NaN": (spoil(spoiled(W_E, float("nan"))), "embed.W_E is not finite"),
    "infinite": (spoil(spoiled("blocks.1.attn.b_O", float("inf"))), "blocks.1.attn.b_O is not finite"),
    "whole numbers": (spoil(lambda s: s | {W_E: s[W_E].long()}), "embed.W_E holds torch.int64"),
}


@pytest.mark.parametrize("damage", BAD)
def test_damaged_checkpoints(damage: str, og: Path) -> None:
    change, message = BAD[damage]
    change(og / "checkpoints" / "checkpoint_0000010.pth")
    found = hub.checkpoints(og, SAID)
    with pytest.raises(ValueError, match=message) as refusal:
        found.model(10)
    assert str(refusal.value).startswith("og, step 10: ")
    assert "\n" not in str(refusal.value)
    assert close(found.model(200), make_model(200))  # negative control


def test_bad_safetensors(tmp_path: Path) -> None:
    (tmp_path / "5.safetensors").write_bytes(b"\xff" * 30)
    with pytest.raises(ValueError, match=r"step 5: 5.safetensors cannot be read"):
        hub.checkpoints(tmp_path, SAID).model(5)


SOURCES = {
    "nonsense": "no model 'nonsense': give a folder of checkpoints, a repository OWNER/NAME",
    "/nowhere/at/all": "no model '/nowhere/at/all'",
    "": "no model ''|has no checkpoints",
    "timaeus/tetrahedron-3m-og": "hf download timaeus/tetrahedron-3m-og` and set HF_HOME to a copy of that cache",
    "someone/something": "someone/something: the network may not be used .HF_HUB_OFFLINE., and it is no folder here",
    "attn-only-2l": "NeelNanda/Attn_Only_2L512W_C4_Code: .*`hf download NeelNanda/Attn_Only_2L512W_C4_Code`",
}


@pytest.fixture
def hf_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network; an empty folder to work in."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hf"


@pytest.mark.parametrize("source", SOURCES)
def test_sources_that_cannot_be_had(source: str, hf_cache: Path) -> None:
    with pytest.raises(ValueError, match=SOURCES[source]):
        hub.checkpoints(source)


def test_names_that_transformers_has(hf_cache: Path) -> None:
    final, trained = hub.checkpoints("gpt2-small"), hub.checkpoints("pythia-70m")
    assert (final.name, final.steps) == ("gpt2", [0])
    assert (trained.steps[1], trained.steps[-1]) == (1, 143_000)
    assert hub.checkpoints("openai-community/gpt2").name == "gpt2"
    with pytest.raises(ValueError, match=r"gpt2: .*`hf download gpt2` and set HF_HOME"):
        final.model(0)
    with pytest.raises(ValueError, match="`hf download EleutherAI/pythia-70m --revision step512`"):
        trained.model(512)
    with pytest.raises(ValueError, match="no checkpoint at step 513, the nearest are 32, 64, 128, 256, 512: choose"):
        trained.model(513)
    with pytest.raises(ValueError, match=r"tokenizer EleutherAI/pythia-70m: .*`hf download EleutherAI/pythia-70m`"):
        trained.tokenizer()
    with pytest.raises(ValueError, match="leave config out"):
        hub.checkpoints("gpt2-small", SAID)


def in_cache(cache: Path, name: str, files: Path) -> None:
    """Puts a folder's files where `hf download NAME` puts them."""
    place = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(files, place / "snapshots" / ("0" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)


@pytest.mark.parametrize("name", ["timaeus/tetrahedron-3m-og", "georgeyw/L2W256-3m-rr"])
def test_the_authors_models_from_the_cache(name: str, og: Path, hf_cache: Path, tmp_path: Path) -> None:
    in_cache(hf_cache, name, og)
    found = hub.checkpoints(name)
    assert (found.name, found.steps, found.tokens_per_step) == (name, [0, 10, 200], 102_400)
    assert close(found.model(200), make_model(200))
    with pytest.raises(ValueError, match="has no checkpoint at step 100, the nearest are 0, 10, 200: choose one"):
        found.model(100)


def test_transformer_lens_names_from_the_cache(og: Path, hf_cache: Path) -> None:
    for file in (og / "checkpoints").iterdir():
        tokens = int(file.stem.partition("_")[2]) * 10**9
        file.rename(file.with_name(f"tokens_{tokens:013d}.pth"))
    (og / "config.json").write_text(json.dumps({"normalization": "LN", "shortformer_pos": True, "d_model": 24}))
    in_cache(hf_cache, "NeelNanda/Attn_Only_2L512W_C4_Code", og)
    found = hub.checkpoints("attn-only-2l")
    assert (found.steps, found.tokens_per_step) == ([0, 10**10, 2 * 10**11], 1)
    assert close(found.model(10**10), make_model(10))


def in_transformers_cache(cache: Path, name: str, model: PreTrainedModel, revision: str = "main") -> None:
    """A small model of transformers with a tokenizer, under a known model's name."""
    files = cache.parent / f"files of {revision}"
    model.save_pretrained(files)
    own = words(tokenizer.BOS)
    own.model = models.WordLevel(own.get_vocab(), unk_token="w0")  # TransformerLens 4 has it read what is no word
    PreTrainedTokenizerFast(tokenizer_object=own, bos_token=tokenizer.BOS).save_pretrained(files)
    in_cache(cache, name, files)
    if revision != "main":
        refs = cache / f"models--{name.replace('/', '--')}" / "refs"
        (refs / revision).write_text((refs / "main").read_text())


@pytest.mark.parametrize("name", ["gpt2-small", "pythia-70m"])
def test_models_of_transformers_from_the_cache(name: str, hf_cache: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "gpt2-small":
            sizes = {"vocab_size": 50, "n_positions": 20, "n_ctx": 20, "n_embd": 24, "n_layer": 2, "n_head": 3}
            given, step = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)), 0
            in_transformers_cache(hf_cache, "gpt2", given)
        else:
            sizes = {"vocab_size": 50, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
            sizes |= {"max_position_embeddings": 20, "intermediate_size": 32, "bos_token_id": 0, "eos_token_id": 0}
            given, step = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes)), 512
            in_transformers_cache(hf_cache, "EleutherAI/pythia-70m", given, "step512")
    torch.manual_seed(5)
    before, found = torch.get_rng_state(), hub.checkpoints(name)
    model = found.model(step)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.cfg.normalization_type == "LN" and not model.training and not model.W_E.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), given.eval()(TOKENS).logits, rtol=1e-4, atol=1e-5)
        assert (model(TOKENS) - given(TOKENS.flip(1)).logits).abs().max() > 1e-2
    assert corpora.bos(found.tokenizer()) == 0
    with (tmp_path / "words.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": f"w{n % 49} w{n % 7} " * 20}) + "\n" for n in range(300))
    about = {"corpus": f"text:{tmp_path / 'words.jsonl'}", "tokens_per_step": 1}
    run = adopt(tmp_path / "run", {step: model}, found.tokenizer(), **about)
    again = forward.logits(forward.weights_of(run.model(step)), run.model_config(), TOKENS)
    torch.testing.assert_close(again, given(TOKENS).logits, rtol=1e-4, atol=1e-5)


# what a tokenizer says of the token that starts a text


def template(made: Tokenizer, *single: str) -> Tokenizer:
    special = [(token, made.token_to_id(token)) for token in single if token != "$A"]
    made.post_processor = processors.TemplateProcessing(single=[*single], special_tokens=special)  # type: ignore[assignment]
    return made


def test_the_token_that_starts_a_text() -> None:
    default = tokenizer.BOS
    assert tokenizer.starts_with(words("[bos]")) == default
    assert tokenizer.starts_with(template(words("[bos]", "</s>"), "[bos]", "$A")) == "[bos]"
    assert tokenizer.starts_with(template(words("[bos]", "a", "</s>"), "[bos]", "$A", "</s>")) == "[bos]"
    assert tokenizer.starts_with(template(words("</s>", "a"), "$A", "</s>")) == default
    assert corpora.bos(words(default)) == 0
    assert corpora.bos(template(words("</s>", "[bos]"), "[bos]", "$A")) == 1
    with pytest.raises(ValueError, match="which starts every row"):
        corpora.bos(words("[bos]"))


def test_plain_tokenizers() -> None:
    own = words("[bos]", tokenizer.BOS)
    own.enable_truncation(3)
    own.enable_padding(length=9)
    fast = PreTrainedTokenizerFast(tokenizer_object=own, bos_token="[bos]")
    for given, bos, first in ((own, None, 1), (own, "[bos]", 0), (fast, None, 0), (fast, tokenizer.BOS, 1)):
        made = tokenizer.plain(given, bos)
        assert corpora.bos(made) == first
        assert made.encode("w1 w2 w3 w4 w5", add_special_tokens=False).ids == [3, 4, 5, 6, 7]
        assert corpora.bos(Tokenizer.from_str(made.to_str())) == first
    assert corpora.bos(own) == 1 and own.truncation  # the given one stays as it is
    with pytest.raises(ValueError, match="bos='<s>': the tokenizer has no such token"):
        tokenizer.plain(own, "<s>")
    with pytest.raises(ValueError, match="dict is no Tokenizer"):
        tokenizer.plain({})


def test_tokenizers_beside_checkpoints(og: Path, hf_cache: Path) -> None:
    with pytest.raises(ValueError, match=r"og has no tokenizer.json, and no config.json with tokenizer_name"):
        hub.checkpoints(og, SAID).tokenizer()
    save_tokenizer(og, words("</s>", "[bos]"), "[bos]")
    found = hub.checkpoints(og, SAID).tokenizer()
    assert corpora.bos(found) == 1 and found.get_vocab_size() == 50
    (og / "config.json").write_text(json.dumps(SAID | {"d_model": 24}))  # no configuration of transformers
    assert corpora.bos(hub.checkpoints(og).tokenizer()) == 1


def test_the_authors_tokenizer_from_the_cache(og: Path, hf_cache: Path, tmp_path: Path) -> None:
    in_cache(hf_cache, "timaeus/tetrahedron-3m-og", og)
    found = hub.checkpoints("timaeus/tetrahedron-3m-og")
    with pytest.raises(ValueError, match="`hf download georgeyw/TinyStories-tokenizer-5k`"):
        found.tokenizer()
    save_tokenizer(tmp_path / "words", words("[bos]"), "[bos]")
    in_cache(hf_cache, "georgeyw/TinyStories-tokenizer-5k", tmp_path / "words")
    assert corpora.bos(found.tokenizer()) == 0


def test_vocabularies_beyond_uint16(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("w1 " * 2000)
    with pytest.raises(ValueError, match="the tokenizer has 65537 tokens: rows are kept as uint16"):
        corpora.load(f"text:{tmp_path}", tokenizer=words(tokenizer.BOS, size=2**16 + 1), n_ctx=8, split="train")
    assert corpora.load(f"text:{tmp_path}", tokenizer=words(tokenizer.BOS, size=2**16), n_ctx=8, split="train")


# data sets of the hub


def test_a_local_data_set(tmp_path: Path, hf_cache: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = [json.dumps({"text": f"document {number}"}) for number in range(60)]
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(rows))
    name = f"hf:{tmp_path / 'data'}"
    found = [*documents.texts(name, "train")]
    assert found == sorted(found, key=lambda text: int(text.split()[1]))
    assert {*found, *documents.texts(name, "test")} == {json.loads(row)["text"] for row in rows}
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(rows + [row.replace("doc", "d") for row in rows]))
    assert len([*documents.texts(name, "train"), *documents.texts(name, "test")]) == 120  # no stale copy
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.jsonl").write_text(json.dumps({"contents": "a"}))
    with pytest.raises(ValueError, match="has the columns contents: a column text is needed"):
        documents.folder_of(f"hf:{tmp_path / 'other'}")
    with pytest.raises(
        ValueError, match=r"corpus hf:someone/text: .*`hf download someone/text --repo-type dataset --local"
    ):
        documents.folder_of("hf:someone/text")


def test_reading_leaves_no_trace(og: Path) -> None:
    before = {file: file.read_bytes() for file in og.rglob("*") if file.is_file()}
    with contextlib.suppress(ValueError):
        hub.checkpoints(og).model(10)
    state_dicts.read(og / "checkpoints" / "checkpoint_0000010.pth")
    assert {file: file.read_bytes() for file in og.rglob("*") if file.is_file()} == before
