"""Runs made of models from elsewhere: what is written is what was given, verbs work on it, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ablations.models import Model
from experiments import corpora, runs
from experiments.__main__ import main
from experiments.corpora.tokenizer import BOS
from experiments.runs import first_losses
from experiments.runs.adopt import adopt
from experiments.storage import tensorfile
from tests.conftest import make_model, only_once
from tests.experiments.conftest import command, finish

TOKENS = torch.arange(16)[None] * 7


def model_at(step: int, **overrides: object) -> Model:
    return make_model(step, **({"d_vocab": 400, "n_ctx": 64} | overrides))


@pytest.fixture(scope="module")
def words_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of random words."""
    path, draws = tmp_path_factory.mktemp("text") / "words.jsonl", np.random.default_rng(0)
    documents = (" ".join(f"w{n}" for n in draws.integers(399, size=80)) for _ in range(1600))
    path.write_text("\n".join(json.dumps({"text": document}) for document in documents))
    return path


@pytest.fixture
def own() -> Tokenizer:
    """Words, after the token that starts a row."""
    tokens = [BOS, *(f"w{number}" for number in range(399))]
    made = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    made.add_special_tokens([BOS])
    return made


@pytest.fixture
def given(words_file: Path, own: Tokenizer, tmp_path: Path) -> dict:
    return {
        "folder": tmp_path / "runs" / "mine",
        "checkpoints": {step: model_at(step) for step in (0, 30)},
        "tokenizer": own,
        "corpus": f"text:{words_file}",
        "tokens_per_step": 4096,
    }


def logits(model: Model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS)


def test_a_run_of_ones_own_models(given: dict) -> None:
    before = {step: [p.clone() for p in model.parameters()] for step, model in given["checkpoints"].items()}
    run = adopt(**given)
    assert (run.name, run.steps, run.tokens_per_step) == ("mine", [0, 30], 4096)
    for step, model in given["checkpoints"].items():
        torch.testing.assert_close(logits(run.model(step)), logits(model), rtol=1e-5, atol=1e-5)
        assert (logits(run.model(step)) - logits(model_at(step + 1))).abs().max() > 1e-2
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before[step], strict=True))
        # the bytes that a run trained here would have, so that every result is the same
        runs.write_checkpoint(given["folder"].parent, step, model)
        written = runs.checkpoint_path(given["folder"].parent, step)
        assert runs.checkpoint_path(run.folder, step).read_bytes() == written.read_bytes()
    for split in ("train", "test"):
        corpus = run.corpus(split)
        assert (corpus.tokens[:, 0] == 0).all() and run.corpus_note(corpus) == ""
    assert sorted(file.name for file in run.folder.iterdir()) == [
        "config.json", "step_0000000.safetensors", "step_0000030.safetensors", "tokenizer.json"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [
        {"positional_embedding_type": "standard", "normalization_type": "LNPre", "n_layers": 3},
        {"normalization_type": None, "attn_scale": 1.0},
        {"eps": 1e-2, "n_heads": 2},
        {"positional_embedding_type": "standard", "attn_only": False, "act_fn": "gelu_new", "d_mlp": 17},
        {
            "positional_embedding_type": "rotary",
            "rotary_dim": 4,
            "rotary_adjacent_pairs": True,
            "rotary_base": 500,
            "attn_only": False,
            "act_fn": "gelu",
            "parallel_attn_mlp": True,
        },
        {"normalization_type": "RMS", "attn_only": False, "gated_mlp": True, "act_fn": "silu"},
        {"positional_embedding_type": "rotary", "use_yarn_rope": True, "yarn_factor": 4.0},
    ],
    ids=str,
)
def test_other_architectures(kind: dict, given: dict) -> None:
    model = model_at(5, **kind)
    run = adopt(**given | {"checkpoints": [(10**9, model)]})
    assert run.steps == [10**9]  # numbered by tokens
    torch.testing.assert_close(logits(run.model(10**9)), logits(model), rtol=1e-5, atol=1e-5)
    assert run.model_config().normalization_type == model.cfg.normalization_type


def test_a_shorter_context(given: dict) -> None:
    run = adopt(**given, n_ctx=32)
    assert run.model_config().n_ctx == 32 and run.corpus("test").tokens.shape[1] == 32
    torch.testing.assert_close(logits(run.model(30)), logits(given["checkpoints"][30]), rtol=1e-5, atol=1e-5)
    assert run.tokens_per_step == 4096


def test_tokenizers_that_start_rows_in_their_own_way(given: dict, own: Tokenizer) -> None:
    renamed = Tokenizer.from_str(own.to_str().replace(BOS, "[start]"))
    with pytest.raises(ValueError, match="which starts every row"):
        adopt(**given | {"tokenizer": renamed})
    run = adopt(**given | {"tokenizer": renamed}, bos="[start]")
    fast = PreTrainedTokenizerFast(tokenizer_object=renamed, bos_token="[start]")
    same = adopt(**given | {"tokenizer": fast, "folder": given["folder"].with_name("other")})
    reference = adopt(**given | {"folder": given["folder"].with_name("third")}).corpus("test").tokens
    for made in (run, same):
        assert corpora.bos(made.tokenizer) == renamed.token_to_id("[start]")
        assert np.array_equal(made.corpus("test").tokens, reference)
    other = adopt(**given | {"folder": given["folder"].with_name("fourth")}, bos="w7")
    assert (other.corpus("test").tokens[:, 0] == own.token_to_id("w7")).all()
    assert not np.array_equal(other.corpus("test").tokens, reference)


def spoiled(value: float) -> Model:
    model = model_at(1)
    model.W_E.data[3, 2] = value
    return model


def with_tied_ends() -> Model:
    model = model_at(1)
    model.unembed.W_U.data = model.embed.W_E.data.T
    return model


def hooked() -> Model:
    model = model_at(1)
    model.add_perma_hook("blocks.0.hook_resid_post", lambda residual, hook: 2 * residual)
    return model


def with_file(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "precious").write_text("")
    return folder


ALIBI = {"positional_embedding_type": "alibi"}
MLP = {"attn_only": False, "d_mlp": 8, "act_fn": "gelu"}
WIDE = MLP | {"d_mlp": 16}
BAD: dict[str, tuple[Callable[[dict], dict], str]] = {
    "none": (lambda given: {"checkpoints": {}}, "no checkpoints: give at least one model"),
    "a folder": (lambda given: {"folder": with_file(given["folder"])}, "is there already: give a new folder"),
    "shared keys": (lambda given: {"checkpoints": {1: model_at(1, n_key_value_heads=1)}}, "grouped keys and values"),
    "alibi": (lambda given: {"checkpoints": {1: model_at(1, **ALIBI)}}, "positions 'alibi'"),
    "two MLPs": (lambda given: {"checkpoints": {1: model_at(1, **MLP), 2: model_at(2, **WIDE)}}, "d_mlp is 16, not 8"),
    "an MLP": (lambda given: {"checkpoints": {1: model_at(1), 2: model_at(2, **MLP)}}, "attn_only is False, not True"),
    "two widths": (lambda given: {"checkpoints": {1: model_at(1), 2: model_at(2, d_head=8)}}, "d_head is 8, not 6"),
    "NaN": (lambda given: {"checkpoints": {1: model_at(1), 2: spoiled(np.nan)}}, "step 2: embed.W_E is not finite"),
    "a step twice": (lambda given: {"checkpoints": [(1, model_at(1)), (1, model_at(2))]}, "step 1: steps are whole"),
    "a step below 0": (lambda given: {"checkpoints": {-1: model_at(1)}}, "step -1: steps are whole numbers from 0"),
    "more in it": (lambda given: {"checkpoints": {1: hooked()}}, "the run would not predict what the model does"),
    "tied": (lambda given: {"checkpoints": {1: with_tied_ends()}}, "unembed.W_U and embed.W_E are one parameter"),
    "vocabulary": (lambda given: {"checkpoints": {1: model_at(1, d_vocab=405)}}, "has 400 tokens, the model 405"),
    "tokenizer": (lambda given: {"tokenizer": "gpt2"}, "str is no Tokenizer"),
    "corpus": (lambda given: {"corpus": "nonsense"}, "unknown corpus 'nonsense'"),
    "tokens a step": (lambda given: {"tokens_per_step": 0}, "tokens_per_step=0: it must be at least 1"),
    "context": (lambda given: {"n_ctx": 65}, "n_ctx=65: it must be at least 2 and at most the model's 64"),
    "no context": (lambda given: {"n_ctx": 0}, "n_ctx=0: it must be at least 2"),
    "bos": (lambda given: {"bos": "<s>"}, "bos='<s>': the tokenizer has no such token"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_run(name: str, given: dict, tmp_path: Path) -> None:
    change, message = BAD[name]
    changed = given | change(given)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message) as refusal:
        adopt(**changed)
    assert "\n" not in str(refusal.value)
    assert [p for p in sorted(tmp_path.rglob("*")) if p.parent != tmp_path] == [
        p for p in before if p.parent != tmp_path
    ]


@pytest.fixture
def source(tmp_path: Path, own: Tokenizer) -> Path:
    """A folder like the authors' repository."""
    (tmp_path / "og" / "checkpoints").mkdir(parents=True)
    for step in (10, 60):
        torch.save(model_at(step).state_dict(), tmp_path / "og" / "checkpoints" / f"checkpoint_{step:07d}.pth")
    own.save(str(tmp_path / "og" / "tokenizer.json"))
    said = {"positional_embedding_type": "shortformer", "tokens_per_step": 4096}
    (tmp_path / "og" / "config.json").write_text(json.dumps(said))
    return tmp_path / "og"


def test_the_verb(source: Path, words_file: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(source.parent)
    where = ["og", "--out", "runs/mine", "--corpus", f"text:{words_file}"]
    assert main(["adopt", *where, "--steps", "60", "10"]) == 0
    assert "wrote 2 checkpoints in runs/mine" in capsys.readouterr().out
    run = runs.open_run("mine")
    torch.testing.assert_close(logits(run.model(60)), logits(model_at(60)), rtol=1e-5, atol=1e-5)
    assert main(["ablate", "L0H0", "--run", "mine", "--tokens", "200", "--workers", "1"]) == 0
    assert "L0H0   " in capsys.readouterr().out
    for arguments, message in (
        ([*where], "runs/mine is there already"),
        (["nonsense", *where[1:]], "no model 'nonsense'"),
        (
            [where[0], "--out", "runs/other", *where[3:], "--steps", "20"],
            "no checkpoint at step 20, the nearest are 10, 60",
        ),
        ([where[0], "--out", "runs/other", *where[3:], "--tokens-per-step", "-1"], "tokens_per_step=-1"),
        ([where[0], "--out", "runs/other", "--corpus", "text:nowhere"], "no such file"),
        ([where[0], "--out", "runs/other", *where[3:], "--tokenizer", "someone/words"], "`hf download someone/words`"),
        ([where[0], "--out", "og/config.json/x", *where[3:]], "config.json is a file"),
    ):
        assert main(["adopt", *arguments]) == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("error: ") and message in last
    (source / "config.json").write_text(json.dumps({"positional_embedding_type": "shortformer"}))
    assert main(["adopt", where[0], "--out", "runs/other", *where[3:]]) == 2
    assert "give --tokens-per-step" in capsys.readouterr().err
    assert sorted(path.name for path in Path("runs").iterdir()) == ["mine"]


VERBS = {
    "reproduce": ["reproduce"],
    "figure": ["figure", "rllcs"],
    "types": ["types"],
    "circuit": ["circuit", "--task", "induction", "--formation"],
    "paths": ["paths"],
    "ablate": ["ablate", "L0H0"],
    "affected": ["affected", "L1H0"],
    "calibrate": ["calibrate", "L0H0", "--lr", "1e-3", "--localization", "200", "--nbeta", "10"],
}


@pytest.fixture(scope="module")
def adopted(trained: Path, corpus_file: Path, session_folder: Path) -> Path:
    """The tiny trained run, adopted: without its history, preset and seed."""
    tiny, folder = runs.open_run(trained / "runs" / "tiny-seed0"), session_folder / "adopted"
    with only_once(folder) as first:
        if first:
            given = {step: tiny.model(step) for step in tiny.steps}
            corpus = f"text:{corpus_file}"
            adopt(folder, given, tiny.tokenizer, corpus=corpus, tokens_per_step=tiny.tokens_per_step)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_on_an_adopted_run(verb: str, adopted: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = {file: file.read_bytes() for file in adopted.iterdir()}
    finish(command(*VERBS[verb], "--run", str(adopted), "--out", "results", "--workers", "1", cwd=tmp_path))
    assert list(Path("results").rglob("*"))
    assert {file: file.read_bytes() for file in adopted.iterdir()} == before


@pytest.mark.slow
def test_results_are_those_of_the_run_that_was_adopted(
    adopted: Path, trained: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (adopted, trained / "runs" / "tiny-seed0"):
        assert main(["figure", "rllcs", "--run", str(name), "--out", name.name, "--workers", "1"]) == 0
    found, expected = (sorted(Path(name, "cells").rglob("*.safetensors")) for name in ("adopted", "tiny-seed0"))
    cells = [
        sorted((json.dumps(tensorfile.read(f)[1].get("coords", "")), f) for f in side) for side in (found, expected)
    ]
    assert len(found) == len(expected) > 0
    values = [[tensorfile.read(file)[0] for _, file in side] for side in cells]
    key = [sorted(tuple(sorted((n, a.tobytes()) for n, a in arrays.items())) for arrays in side) for side in values]
    assert key[0] == key[1]


def test_the_share_of_code_is_kept(given: dict) -> None:
    with pytest.raises(ValueError, match=r"code_share=1\.5: it must be above 0 and below 1"):
        adopt(**given, code_share=1.5)
    assert adopt(**given, code_share=0.6).config["preset"]["code_share"] == 0.6
    other = adopt(**given | {"folder": given["folder"].with_name("other")})
    assert other.config["preset"]["code_share"] == 0.3


def test_losses_beside_those_of_token_frequencies(given: dict) -> None:
    run = adopt(**given)
    model, rows, train = run.model(30), run.corpus("test"), run.corpus("train")
    losses = first_losses.measure(run, 30)
    shown = rows.batch(slice(0, first_losses.TOKENS // 64))
    assert losses.tokens == shown[:, 1:].numel()
    with torch.no_grad():
        assert losses.model == pytest.approx(float(model(shown, return_type="loss")), rel=1e-4)
    counts = torch.bincount(train.batch(slice(None))[:, 1:].ravel(), minlength=400) + 1.0
    assert losses.unigram == pytest.approx(float(-(counts / counts.sum()).log()[shown[:, 1:]].mean()), rel=1e-6)
    assert losses.unigram < losses.model  # it was never trained, and that is said
    assert "predicts no better than these: unless it is untrained, its positions" in first_losses.sentence(losses, 30)
    good = first_losses.sentence(losses._replace(model=1.234, unigram=5.678), 30)  # negative control
    assert good == f"step 30: loss 1.23 nats per token on {losses.tokens} tokens of held-out text; 5.68 by the " + (
        "frequencies of tokens alone"
    )


def test_the_verb_asks_before_the_work_and_tells_the_loss(
    source: Path, words_file: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(source.parent)
    where = ["og", "--out", "runs/mine", "--corpus", f"text:{words_file}"]
    with monkeypatch.context() as patch:
        patch.setattr("experiments.runs.hub.checkpoints", lambda *_: pytest.fail("the work has begun"))
        for wrong, message in (
            (["--tokens-per-step", "0"], "tokens_per_step=0"),
            (["--code-share", "0"], "--code-sha"),
        ):
            assert main(["adopt", *where, *wrong]) == 2
            assert message in capsys.readouterr().err
    said = {"positional_embedding_type": "shortformer"}
    (source / "config.json").write_text(json.dumps(said))
    with monkeypatch.context() as patch:
        patch.setattr("experiments.corpora.load", lambda *_, **__: pytest.fail("the work has begun"))
        assert main(["adopt", *where]) == 2
        assert "give --tokens-per-step" in capsys.readouterr().err
    assert main(["adopt", *where, "--tokens-per-step", "4096", "--code-share", "0.4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "wrote 2 checkpoints in runs/mine" and lines[1].startswith("step 60: loss ")
    assert "by the frequencies of tokens alone" in lines[1]
    assert runs.open_run("mine").config["preset"]["code_share"] == 0.4
