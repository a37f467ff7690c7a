"""Runs, cards and verbs of randomly initialised models with MLPs: what they say is what the model's own hooks say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import effects, heads
from ablations.effects import clustered
from ablations.models import Model
from ablations.paths import cut, parse_path
from circuits import discover, discover_hooks
from experiments import corpora, runs
from experiments.heldout import ablation_pass
from experiments.investigate import head_pairs
from experiments.investigate.investigation import Investigation
from experiments.results.inputs import Inputs
from experiments.runs.adopt import adopt
from experiments.tasks import path_effects, task_prompts
from tests.conftest import GPT2, PYTHIA, make_model, only_once
from tests.experiments.conftest import command, finish

pytestmark = pytest.mark.usefixtures("small")

NOTE = "The model has MLPs: what a head tells others through them is part of no path between heads"
SHAPES = {"gpt2": GPT2 | {"d_mlp": 96}, "pythia": PYTHIA | {"d_mlp": 96, "n_layers": 3, "n_heads": 2}}


def model_of(shape: str, run: runs.Run, seed: int = 0) -> Model:
    """With a few more tokens than the run's tokenizer, as vocabularies are padded."""
    sizes = {"n_ctx": run.config["model"]["n_ctx"], "d_vocab": run.config["model"]["d_vocab"] + 3}
    return make_model(seed, **(sizes | SHAPES[shape])).requires_grad_(False)


@pytest.fixture(scope="module", params=[pytest.param("gpt2", marks=pytest.mark.slow), "pythia"])
def own(request: pytest.FixtureRequest, small: None, trained: Path, corpus_file: Path, tmp_path_factory) -> tuple:
    """A model, and the investigation of it."""
    run = runs.open_run(trained / "runs/tiny-seed0")
    model = model_of(request.param, run)
    out = tmp_path_factory.mktemp(request.param) / "out"
    about = {"corpus": f"text:{corpus_file}", "tokenizer": run.tokenizer, "out": out, "tokens": 1500}
    return model, Investigation(model, **about)


def rows_of(inv: Investigation, asked: ablation_pass.AblationPass) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """The rows of a pass, which of their predicted tokens count, and the documents of these."""
    rows = ablation_pass.rows_of(asked, inv.snapshot.cells.inputs)
    tokens = rows.batch(slice(None))
    counted = tokens[:, 1:].numpy() != corpora.bos(rows.tokenizer)
    return tokens, counted, np.asarray(rows.documents)[:, 1:][counted]


def test_a_card_has_all_its_parts(own: tuple) -> None:
    _, inv = own
    page = inv["L1H1"]._repr_html_()
    assert "Not measured" not in page and NOTE in page and "into L1H1, from each earlier head" in page
    assert ("out of L1H1" in page) == (inv.snapshot.cfg.n_layers == 3)
    assert np.isfinite(inv["L1H1"].rllc.value).all() and inv["L1H1"].rllc.step.values.tolist() == [0]
    overview = inv._repr_html_()
    assert all(f"<b>{name}</b>" in overview for name in inv.snapshot.heads) and "Not measured" not in overview
    assert "L1H0 and L1H1" in inv.compare("L1H0", "L1H1")._repr_html_()


def test_effects_are_those_of_hooks(own: tuple) -> None:
    model, inv = own
    reference = inv.snapshot.cells.inputs.reference
    asked = inv.snapshot.effects
    tokens, counted, documents = rows_of(inv, asked)
    removed = effects.token_effects(model, tokens, heads.mean(model, [(1, 1)], reference)).numpy()[counted]
    expected = clustered(removed, documents)
    found = ablation_pass.means(inv.snapshot.cells, asked).sel(change="L1H1")
    assert float(found.effect) == pytest.approx(expected.value, rel=1e-3, abs=1e-6)
    assert float(found.effect_se) == pytest.approx(expected.se, rel=1e-3)
    other = effects.token_effects(model, tokens, heads.mean(model, [(1, 0)], reference)).numpy()[counted]
    assert clustered(other, documents).value != pytest.approx(expected.value, rel=1e-2), "negative control"


def test_paths_are_those_of_hooks(own: tuple) -> None:
    model, inv = own
    frame = inv["L1H1"].paths
    tokens, counted, documents = rows_of(inv, head_pairs.path_pass(inv.snapshot, "L1H1"))
    values = heads.mean_z(model, [(0, 0), (1, 1)], inv.snapshot.cells.inputs.reference)
    for via, name in (("q", "L0H0->L1H1.q"), ("v", "L0H0->L1H1.v"), ("", "L1H1->output")):
        interventions = cut(model, [parse_path(name)], values)
        cost = effects.token_effects(model, tokens, interventions).numpy()[counted]
        row = frame[(frame.source == name.split("->")[0]) & (frame.via == via)].iloc[0]
        assert row.effect == pytest.approx(clustered(cost, documents).value, rel=5e-3, abs=2e-6)
    assert len(frame.effect.round(6).unique()) > len(frame) / 2, "negative control: paths differ"


def test_attention_is_the_models_own(own: tuple) -> None:
    model, inv = own
    found = inv["L1H1"].on("def f(x): return x + 1").attention
    start = inv.run.tokenizer.token_to_id("<|endoftext|>")
    row = [start, *inv.run.tokenizer.encode("def f(x): return x + 1").ids]
    pattern = model.run_with_cache(torch.tensor(row)[None])[1]["pattern", 1][0].double().numpy()
    np.testing.assert_allclose(found.attention, pattern[1], atol=1e-6)
    assert np.abs(found.attention - pattern[0]).max() > 1e-3, "negative control: another head's"


def test_a_text_of_ones_own_is_that_of_hooks(own: tuple) -> None:
    model, inv = own
    prompt = inv.on("def f(x): return x + 1")
    with torch.no_grad():
        torch.testing.assert_close(prompt.logits, model(prompt.ids[None])[0], atol=1e-4, rtol=1e-4)
    reference = inv.snapshot.cells.inputs.reference
    for head in ((0, 0), (1, 1)):
        expected = effects.token_effects(model, prompt.ids[None], heads.mean(model, [head], reference))[0].numpy()
        name = f"L{head[0]}H{head[1]}"
        np.testing.assert_allclose(prompt.heads[name], expected, atol=1e-5)
        np.testing.assert_allclose(prompt.without(name).change.change, expected, atol=1e-5)
    assert np.abs(prompt.heads["L0H0"] - prompt.heads["L1H1"]).max() > 1e-5, "negative control: another head"
    values = heads.mean_z(model, [(0, 0)], reference)
    into = effects.token_effects(model, prompt.ids[None], cut(model, ["L0H0->MLP1"], values))[0].numpy()
    np.testing.assert_allclose(prompt.without("L0H0->MLP1").change.change, into, atol=1e-5)
    with pytest.raises(ValueError, match=r"MLP0->L1H1\.v: means"):
        prompt.without("MLP0->L1H1.v")


def test_a_circuit_is_that_of_hooks(own: tuple, trained: Path) -> None:
    model, inv = own
    circuit = inv.circuit("induction")
    task, paths = task_prompts.task("induction", inv.snapshot.cells), discover.candidates(model.cfg)
    expected = discover_hooks.exact(model, task, paths)
    found = circuit.found.table.effect.values
    np.testing.assert_allclose(found, expected.effect.mean(1), atol=2e-4)
    assert np.abs(found[1:] - found[:-1]).max() > 1e-2, "negative control: another path"
    assert "MLP0" in circuit.found.graph.nodes and "MLP0->L1H1.v" in circuit.found.table.path.values
    assert NOTE not in circuit._repr_html_()
    alone = Inputs(runs.open_run(trained / "runs/tiny-seed0"), inv.snapshot.cells.plan)  # negative control
    keys = [path_effects.nodes(inputs, 0) for inputs in (inv.snapshot.cells.inputs, alone)]
    assert keys == [{"nodes": "heads and MLPs"}, {}]  # those of attention-only models stay as they were


VERBS = {
    "reproduce": ["reproduce"],
    "types": ["types"],
    "circuit": ["circuit", "--task", "induction", "--formation"],
    "paths": ["paths"],
    "ablate": ["ablate", "L0H0", "L1H0+L2H1", "L0H0->L1H1.k"],
    "affected": ["affected", "L2H0"],
    "calibrate": ["calibrate", "L1H0", "--lr", "1e-3", "--localization", "200", "--nbeta", "10"],
    "investigate": ["investigate", "L1H0"],
}


@pytest.fixture(scope="module")
def adopted(trained: Path, corpus_file: Path, session_folder: Path) -> Path:
    tiny, folder = runs.open_run(trained / "runs/tiny-seed0"), session_folder / "rotary"
    with only_once(folder) as first:
        if first:
            models = {step: model_of("pythia", tiny, step) for step in (0, 20)}
            adopt(folder, models, tiny.tokenizer, corpus=f"text:{corpus_file}", tokens_per_step=4096)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb(verb: str, adopted: Path, tmp_path: Path) -> None:
    out = finish(command(*VERBS[verb], "--run", str(adopted), "--out", "results", "--workers", "1", cwd=tmp_path))
    assert list((tmp_path / "results").rglob("*"))
    assert (NOTE in out) == (verb == "paths")
