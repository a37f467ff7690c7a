"""Cells are read again only for the same content: weights, configuration, tokenizer, text and version of the kind."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from ablations.models import Model
from experiments.corpora.tokenizer import BOS
from experiments.investigate import Investigation
from experiments.measurements.scores import SCORES
from experiments.results import keys
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.results.kind import PARTS_OF_EVERY_KEY
from experiments.results.plan import Plan, default_plan
from experiments.runs.adopt import adopt
from experiments.runs.run import Run, open_run
from tests.conftest import GPT2, PYTHIA, make_model

WORDS = 49
STANDARD = {"positional_embedding_type": "standard"}
# Two configurations, by what differs in them: models with the same weights that compute something else.
CORRECTED: dict[str, tuple[dict, dict]] = {
    "eps": ({}, {"eps": 0.5}),
    "scale of attention": ({}, {"attn_scale": 1.0}),
    "norm": ({"normalization_type": None}, {"normalization_type": "LNPre"}),
    "positions": ({}, STANDARD),
    "base of rotary positions": (PYTHIA | {"rotary_dim": 4}, PYTHIA | {"rotary_dim": 4, "rotary_base": 100}),
    "activation": (GPT2, GPT2 | {"act_fn": "relu"}),
    "parallel MLPs": (GPT2 | STANDARD, GPT2 | STANDARD | {"parallel_attn_mlp": True}),
}


def tokenizer(first: int = 0) -> Tokenizer:
    """BOS and all words; first: the one that has the lowest id."""
    order = [BOS, *(f"w{(first + number) % WORDS}" for number in range(WORDS))]
    made = Tokenizer(models.WordLevel({token: number for number, token in enumerate(order)}))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    made.add_special_tokens([BOS])
    return made


def scaled(factor: float) -> Model:
    """The model of seed 0 with another attention scale: the same weights, another configuration."""
    model = make_model(0)
    model.cfg.attn_scale *= factor
    for block in model.blocks:
        block.attn.attn_scale = model.cfg.attn_scale
    return model


def write_words(path: Path, seed: int) -> None:
    """Documents of random words; those of any two seeds take as many bytes."""
    draws = np.random.default_rng(seed)
    documents = (" ".join(f"w{n}" for n in draws.permutation(np.arange(80) % WORDS)) for _ in range(300))
    path.write_text("\n\n\n".join(documents))


@pytest.fixture
def text(tmp_path: Path) -> str:
    write_words(tmp_path / "words.txt", 0)
    return f"text:{tmp_path / 'words.txt'}"


@pytest.fixture
def put(tmp_path: Path, text: str) -> Iterator:
    """Replaces the run in one folder by that of another model or tokenizer."""

    def replaced(model: Model, tokens: Tokenizer | None = None) -> Run:
        shutil.rmtree(tmp_path / "mine", ignore_errors=True)
        return adopt(tmp_path / "mine", {60: model}, tokens or tokenizer(), corpus=text, tokens_per_step=512)

    yield replaced


def small_plan(run: Run) -> Plan:
    plan = default_plan(run.config["preset"]["corpus"], run.model_config().n_ctx)
    return replace(plan, text_rows=16, reference_rows=8, score_sequences=8)


def loss(run: Run, results: Path) -> float:
    """Of the stored cell, which is measured if there is none."""
    return Cells(results, run, small_plan(run)).get(SCORES, 60).loss.item()


@pytest.mark.parametrize("what", ["weights", "configuration", "tokenizer"])
def test_another_model_in_the_same_folder_is_measured_anew(what: str, put, tmp_path: Path) -> None:
    first = loss(put(make_model(0)), tmp_path / "results")
    other = {"weights": make_model(1), "configuration": scaled(4), "tokenizer": make_model(0)}[what]
    second = put(other, tokenizer(7 if what == "tokenizer" else 0))
    assert loss(second, tmp_path / "results") == loss(second, tmp_path / "new") != first
    again = put(make_model(0))
    assert loss(again, tmp_path / "results") == first  # the control: what is the same is read, whatever came between


@pytest.mark.parametrize("what", CORRECTED)
def test_a_configuration_that_is_corrected_is_measured_anew(what: str, put, tmp_path: Path) -> None:
    before, after = CORRECTED[what]
    old = put(make_model(0, **before))
    weights, first = old.model_digest(60), loss(old, tmp_path / "results")
    corrected = put(make_model(0, **after))
    assert corrected.model_digest(60) == weights
    assert loss(corrected, tmp_path / "results") == loss(corrected, tmp_path / "new")
    assert abs(loss(corrected, tmp_path / "results") - first) > 1e-6
    assert loss(put(make_model(0, **before)), tmp_path / "results") == first  # the control: what is the same is read


def test_a_text_that_is_replaced_is_measured_anew(put, tmp_path: Path) -> None:
    run = put(make_model(0))
    first = loss(run, tmp_path / "results")
    write_words(tmp_path / "words.txt", 1)
    assert loss(run, tmp_path / "results") == loss(run, tmp_path / "new") != first
    write_words(tmp_path / "words.txt", 0)
    assert loss(run, tmp_path / "results") == first  # the control: what is the same is read
    assert len(list((tmp_path / "results/cells").iterdir())) == 2


def test_what_was_measured_is_read_under_any_folder_and_name(put, tmp_path: Path) -> None:
    run = put(make_model(0))
    first = loss(run, tmp_path / "results")
    moved = open_run(shutil.copytree(run.folder, tmp_path / "another name"))
    cells = Cells(tmp_path / "results", moved, small_plan(moved))
    assert not cells.missing(SCORES, 60) and cells.get(SCORES, 60).loss.item() == first


def test_every_part_of_a_key_tells_cells_apart(put) -> None:
    run = put(make_model(0))
    inputs = Inputs(run, small_plan(run))
    base = keys.key(inputs, SCORES, 60, {})
    assert {*base} == PARTS_OF_EVERY_KEY
    assert base == keys.key(Inputs(run, small_plan(run)), SCORES, 60, {})
    assert str(run.folder) not in str(base) and run.name not in str(base.values())
    assert keys.key(inputs, replace(SCORES, version=(*SCORES.version, 1)), 60, {}) != base
    assert keys.key(inputs, SCORES, 60, {"head": "L0H1"}) != base
    for name in SCORES.plan_fields:
        value = getattr(inputs.plan, name)
        if isinstance(value, int):
            other = Inputs(run, replace(inputs.plan, **{name: value + 1}))
            assert keys.key(other, SCORES, 60, {}) != base, name
    with pytest.raises(TypeError, match="weights name parts of every key"):
        keys.key(inputs, SCORES, 60, {"weights": "mine"})


def test_an_investigation_has_the_tokenizer_and_configuration_that_it_was_given(text: str, tmp_path: Path) -> None:
    sentence = "w3 w14 w15"
    kept = Investigation(make_model(0), text, tokenizer=tokenizer(), out=tmp_path / "results").run
    other = Investigation(make_model(0), text, tokenizer=tokenizer(7), out=tmp_path / "results").run
    wider = Investigation(scaled(2), text, tokenizer=tokenizer(), out=tmp_path / "results").run
    again = Investigation(make_model(0), text, tokenizer=tokenizer(), out=tmp_path / "results").run
    assert other.tokenizer.encode(sentence).ids == tokenizer(7).encode(sentence).ids
    assert kept.tokenizer.encode(sentence).ids != other.tokenizer.encode(sentence).ids
    assert wider.model_config().attn_scale == pytest.approx(scaled(2).cfg.attn_scale)
    assert again.folder == kept.folder  # the control: the same content is the same run
