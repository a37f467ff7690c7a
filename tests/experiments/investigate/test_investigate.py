"""Investigation and cards of heads: their numbers are those of the cells, their pages need nothing from outside."""

import base64
import contextlib
import html
import re
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy import stats

from ablations.not_measurable import NotMeasurable
from circuits import composition
from experiments import runs
from experiments.__main__ import main
from experiments.heldout import ablation_pass, head_effects, head_types
from experiments.heldout.head_types import HEAD_TYPES
from experiments.investigate import attention_grid, head_measures, head_page, own_text
from experiments.investigate.investigation import Investigation
from experiments.investigate.snapshot import Snapshot
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.paths import PATHS
from experiments.measurements.rllc import RLLC
from experiments.pages.layout import page as layout
from experiments.results import committed
from experiments.results.cells import Cells
from experiments.results.keys import key
from experiments.runs.run import Run
from experiments.statistics import intervals
from experiments.storage import store, tensorfile
from llc.intervals import half_widths
from tests.conftest import make_model
from tests.experiments.pages.page_checks import content, faults

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def inv(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Investigation:
    out = tmp_path_factory.mktemp("investigated") / "out"
    return Investigation(trained / "runs/tiny-seed0", out=out, tokens=1500)


@pytest.fixture(scope="module")
def page(inv: Investigation) -> str:
    return inv["L1H2"]._repr_html_()


def of_file(inv: Investigation) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in inv.snapshot.cells.folder.rglob("*.safetensors")}


def test_nothing_is_computed_before_it_is_asked_for(trained: Path, tmp_path: Path) -> None:
    lazy = Investigation(trained / "runs/tiny-seed0", out=tmp_path / "none")
    _ = lazy["L1H2"].on("def"), lazy["1:2"], lazy.circuit("induction"), lazy.compare("L1H0", "L1H1"), lazy.at(10)
    assert [card.head for card in lazy] == [f"L{layer}H{head}" for layer in range(2) for head in range(4)]
    assert "tiny-seed0, step 60" in repr(lazy) and "step 10" in repr(lazy.at(10))
    assert not (tmp_path / "none").exists()


def test_the_numbers_of_a_card_are_those_of_the_cells(inv: Investigation, page: str) -> None:
    card, kept = inv["1:2"], inv.snapshot.cells
    own = kept.get(COMPOSITION, 60)
    assert len(card.composition) == 4 * 3 and set(card.composition.target) == {"L1H2"}
    for row in card.composition.to_dict("records"):
        assert row["score"] == float(own.composition.sel({name: row[name] for name in ("source", "target", "via")}))
    mean, sd = composition.spectral_baseline(inv.snapshot.weights, inv.snapshot.cfg)
    first = card.composition.iloc[0]
    assert first.sds == pytest.approx((first.score**2 - float(mean)) / float(sd[0, 0, 1, 2, 0]))

    cuts, paths = kept.get(PATHS, 60), card.paths
    assert len(paths) == 4 * 3 + 1 and paths.iloc[-1].target == "output"
    for row in paths[paths.via != ""].to_dict("records"):
        at = cuts.sel({name: row[name] for name in ("source", "target", "via")})
        assert (row["copy_gain"], row["copy_gain_se"]) == (float(at.effect), float(at.effect_se))
    assert np.isnan(paths.iloc[-1].copy_gain) and (paths.effect_se > 0).all()

    rllc = kept.assembled(RLLC)
    assert card.rllc.step.values.tolist() == [0, 60]
    at = rllc.value.sel(restriction="L1H2", step=[0, 60])
    xr.testing.assert_identical(card.rllc.value, at)
    assert card.layer_rllc.restriction.values.tolist() == ["L1H0", "L1H1", "L1H2", "L1H3"]
    assert f"{float(card.rllc.value[-1]):.2f} ± {float(half_widths(card.rllc)[-1]):.2f}" in page

    types = head_types.table(kept, head_types.pass_of_types(kept, 60, 1500))
    assert card.evidence.why.item() == types.why.sel(restriction="L1H2").item()
    assert card.affected.effect.tolist() == [context.effect for context in card.contexts]
    assert all(context.chosen_by > 0 for context in card.contexts), "the loss rises without the head"
    assert card.made_worse and all(context.chosen_by < 0 for context in card.made_worse)
    xr.testing.assert_identical(inv["L0H1"].evidence.effect, types.effect.sel(restriction="L0H1"))


def test_the_parts_of_a_score_sum_to_it_and_the_card_shows_the_largest(inv: Investigation, page: str) -> None:
    frame = inv["L1H2"].score_parts
    sources = {"embed", "pos_embed", "L0H0", "L0H1", "L0H2", "L0H3", "b_O", "bias"}
    assert set(frame.query_source) == set(frame.key_source) == sources and len(frame) == 64
    assert frame.contrast.sum() == pytest.approx(frame.attrs["total"], rel=1e-4)
    assert frame.contrast.abs().is_monotonic_decreasing and (frame.half_width >= 0).all()
    first = frame.iloc[0]
    assert f"{first.query_source} with {first.key_source}</td>" in page
    assert f"{first.contrast:.2f} ± {first.half_width:.2f}" in page
    assert set(inv["L0H1"].score_parts.key_source) == {"embed", "pos_embed", "bias"}


def test_the_card_explains_its_words_where_they_stand(inv: Investigation, page: str) -> None:
    assert "kappa, the slope of log rLLC in log nbeta" in page
    assert f"replaced by that on {ablation_pass.DRAWS} other documents, the donors)" in page
    name = inv.snapshot.cells.plan.llc.name
    assert f"{name} names these settings of the chains: " in page
    assert page.count(own_text.WHITE) == 1 and "it scrolls sideways" in page


def test_columns_of_a_grid_are_its_tokens_and_what_is_before_them(inv: Investigation) -> None:
    text = inv["L1H2"].on("x = 1\n    y").attention
    shown = str(attention_grid.grid(text))
    tokens = [own_text.visible(token) for token in text.tokens]
    columns = re.findall(r'<div class="over"><span>(.*?)</span></div>', shown)
    assert [html.unescape(name) for name in columns] == tokens
    assert f"repeat({len(tokens)}," in shown and ">before<" not in shown
    among = attention_grid.grid(replace(text, earlier=np.full_like(text.earlier, 0.5)))
    assert f"repeat({len(tokens) + 1}," in among and '<div class="over">before</div>' in among


def test_the_card_of_a_suppression_head_shows_what_it_makes_worse(inv: Investigation) -> None:
    card = inv["L1H2"]
    as_it_is = head_page._affected(card)
    assert "those whose loss rises most under" in as_it_is
    hurts = replace(card)
    vars(hurts)["evidence"] = card.evidence.assign(type=xr.DataArray("suppression"))
    shown = head_page._affected(hurts)
    assert "those whose loss falls most under" in shown
    assert shown.count('<div class="hit">') == len(card.made_worse) and "nats</b>" in shown
    assert all(f"document {context.document}, position {context.position}" in shown for context in card.made_worse)


def test_a_head_of_the_first_layer_has_paths_out(inv: Investigation) -> None:
    frame = inv["L0H1"].paths
    assert set(frame.source) == {"L0H1"} and frame.target.tolist()[-1] == "output" and len(frame) == 13
    into = inv["L1H2"].paths
    shared = (("source", "L0H1"), ("target", "L1H2"), ("via", "k"))
    rows = [part[np.logical_and.reduce([part[name] == value for name, value in shared])] for part in (frame, into)]
    assert rows[0].effect.item() == pytest.approx(rows[1].effect.item(), abs=1e-6), "one path, from both its ends"


def test_a_second_card_computes_nothing(inv: Investigation, page: str) -> None:
    before = of_file(inv)
    again = Investigation(inv.run, out=inv.snapshot.cells.folder, tokens=1500)
    assert again["L1H2"]._repr_html_() == page
    assert of_file(inv) == before and before


def test_a_head_alone_is_measured_as_among_all(
    inv: Investigation, page: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    alone = Investigation(inv.run, out=tmp_path / "alone", tokens=1500, heads=["1:2"])
    assert "--heads" not in capsys.readouterr().err
    shown = alone["L1H2"]._repr_html_()
    xr.testing.assert_identical(alone["L1H2"].evidence, inv["L1H2"].evidence)
    assert alone["L1H2"].layer_rllc.restriction.values.tolist() == ["L1H2"]
    xr.testing.assert_identical(alone["L1H2"].rllc.value, inv["L1H2"].rllc.value)
    assert "grey: the other heads" in page and "grey" not in shown
    assert alone.heads.index.tolist() == ["L1H2"] and len(inv.heads) == 8
    with pytest.raises(ValueError, match="L1H3 is not among heads=L1H2"):
        alone["L1H3"]
    kept = Investigation(inv.run, out=inv.snapshot.cells.folder, tokens=1500, heads=["L1H2", "L1H3"])
    before = of_file(inv)
    assert kept.heads.type.tolist() == inv.heads.type.loc[["L1H2", "L1H3"]].tolist()
    assert of_file(inv) == before, "the table of all heads is known there"

    monkeypatch.setattr("experiments.jobs.announcement.LONG", 0.0)
    _ = Investigation(inv.run, out=tmp_path / "none", tokens=1500)["L1H2"].compute()
    assert re.search(r"card of L1H2: about \d+ s \(.*\); --heads L1H2 takes about \d+ s\n", capsys.readouterr().err)


def test_a_page_stands_alone(inv: Investigation, page: str, tmp_path: Path) -> None:
    saved = inv["L1H2"].save(tmp_path / "card.html").read_text()
    assert content(page) == content(saved) and len(saved) < 300_000 and faults(saved) == []
    for text in (page, inv._repr_html_()):
        assert not re.search(r"<(script|link|iframe|object|form)\b|\bon\w+=|javascript:|@import", text)
        addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", text)
        assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    images = re.findall(r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(images) == 2
    for _, drawn in images:
        svg = base64.b64decode(drawn).decode()
        assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)
    assert page.index("What it is") < page.index("When it learned it") < page.index("Where it looks")
    assert page.index("Where it looks") < page.index("matters most for</h2>") < page.index("weights read")
    assert page.index("weights read") < page.index("cutting its paths")


def test_text_is_escaped(inv: Investigation) -> None:
    text = '<script>alert("x")</script> & <b>'
    page = inv["L1H2"].on(text)._repr_html_()
    assert "<script" not in page and "<|endoftext|>" not in page and "&lt;|endoftext|&gt;" in page


def test_attention_is_the_models_own(inv: Investigation) -> None:
    found = inv["L1H2"].on("def f(x): return x + 1").attention
    row = [inv.run.tokenizer.token_to_id("<|endoftext|>"), *inv.run.tokenizer.encode("def f(x): return x + 1").ids]
    model = inv.run.model(60)
    _, cache = model.run_with_cache(torch.tensor(row)[None])
    pattern = cache["blocks.1.attn.hook_pattern"][0].double().numpy()
    np.testing.assert_allclose(found.attention, pattern[2], atol=1e-6)
    assert np.abs(found.attention - pattern[3]).max() > 1e-3, "another head's differs"
    assert "attention of L1H2" in found._repr_html_()
    assert np.isnan(found.effect[-1]) and np.isfinite(found.effect[:-1]).all() and found.following[-1] == ""

    passage = inv["L1H2"].attention
    np.testing.assert_allclose(passage.attention.sum(1) + passage.earlier, 1, atol=1e-5)
    assert passage.following[-1] == inv["L1H2"].contexts[0].target or len(passage.tokens) == 12


def test_two_heads_are_compared_on_the_same(inv: Investigation) -> None:
    found = inv.compare("L1H0", "L1H1")
    effects, heads = head_effects.of_heads(inv.snapshot.types), ("L1H0", "L1H1")
    expected = head_effects.difference(
        inv.snapshot.cells, inv.snapshot.effects, heads, (effects["L1H0"], effects["L1H1"])
    )
    row = found.table.loc["effect"]
    assert (row.difference, row.difference_se) == expected[:2]
    row = found.table.loc["rllc"]
    assert row.difference == pytest.approx(row["first"] - row.second) and row.difference_se > 0
    assert np.isnan(found.table.loc["previous_token"].difference), "it has no error, so it is not said"
    assert np.isnan(inv.compare("L0H0", "L1H1").table.loc["rllc"].difference), "not compared between layers"
    with_itself = inv.compare("L1H0", "L1H0")
    assert with_itself.table.loc[["effect", "rllc"], ["difference", "difference_se"]].eq(0).all(axis=None)
    assert with_itself.shared[0] == pytest.approx(1)
    assert "<b>" in found._repr_html_() and "L1H0 and L1H1" in found._repr_html_()


def test_a_head_has_one_effect_wherever_it_is_shown(
    inv: Investigation, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """On the card, in the overview, in comparisons and by the verb `ablate`, each with what it is a mean over."""
    types = inv.snapshot.types
    over = f"all {types.attrs['tokens']} predicted tokens of {types.attrs['documents']} held-out documents"
    effects = head_effects.of_heads(types)
    own = {name: effects[name][:2] for name in ("L1H0", "L1H2")}
    row = inv.compare("L1H0", "L1H2").table.loc["effect"]
    assert own["L1H0"] == (row["first"], row["first_se"]) and own["L1H2"] == (row["second"], row["second_se"])
    assert row["difference"] == row["first"] - row["second"]
    assert 0 < row["difference_se"] <= row["first_se"] + row["second_se"]
    assert own["L1H2"] == (float(inv["L1H2"].evidence.effect), float(inv["L1H2"].evidence.effect_se))
    assert own["L1H2"] == tuple(inv.heads.loc["L1H2", ["effect", "effect_se"]])
    for page in (inv, inv["L1H2"], inv.compare("L1H0", "L1H2")):
        assert over in page._repr_html_()
    assert main(["ablate", "L1H2", "--run", str(inv.run.folder), "--tokens", "1500", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    value, half_width = effects["L1H2"].value, effects["L1H2"].interval[1] - effects["L1H2"].value
    assert over in told and f"{value:.4f} ± {half_width:.4f}" in told
    kept = ablation_pass.kept(inv.snapshot.cells, inv.snapshot.effects)
    scored = float(kept.effect.sel(change="L1H2").astype(float).mean())
    assert abs(scored - value) > 1e-4, "negative control: tokens with enough before them are others"


@pytest.mark.parametrize(("needed", "said"), [(10**6, True), (0, False)])
def test_pages_say_where_intervals_rest_on_few_documents(
    inv: Investigation, monkeypatch: pytest.MonkeyPatch, needed: int, said: bool
) -> None:
    monkeypatch.setattr(intervals, "FEW", needed)
    for page in (inv, inv["L1H2"], inv.compare("L1H0", "L1H2")):
        assert ("Few documents: an interval rests on" in page._repr_html_()) == said


def test_graphs_say_what_their_heads_effects_are(inv: Investigation) -> None:
    graph = inv.circuit("induction").graph
    means = ablation_pass.means(inv.snapshot.cells, inv.snapshot.effects)  # types of the default text are not known
    assert graph.graph["head_effects"] == head_effects.graph_words(means)
    assert graph.nodes["L1H2"]["effect"] == float(means.effect.sel(change="L1H2"))


def test_the_overview_lists_every_head(inv: Investigation) -> None:
    frame = inv.heads
    assert isinstance(frame, pd.DataFrame) and frame.index.tolist() == [card.head for card in inv]
    assert frame.type.tolist() == inv.snapshot.types.type.values.tolist()
    assert frame.loc["L1H2", "rllc"] == float(inv["L1H2"].rllc.value.sel(step=60))
    page = inv._repr_html_()
    assert all(f"<b>{name}</b>" in page for name in frame.index)
    assert "learning coefficients at step 10, they are at 0, 60" in inv.at(10)._repr_html_()


def test_a_circuit_shows_its_graph(inv: Investigation) -> None:
    circuit = inv.circuit("induction")
    assert isinstance(circuit.graph, nx.DiGraph) and set(inv.snapshot.heads) < set(circuit.graph.nodes)
    assert len(circuit.table) == circuit.found.table.sizes["path"]
    reach = stats.t.ppf(0.975, circuit.found.table.attrs["prompts"] - 1)
    assert np.allclose(circuit.table.half_width, reach * circuit.table.se) and reach > 1.97
    strongest = circuit.table.iloc[0]
    assert f"{strongest.effect:.2f} ± {strongest.half_width:.2f}" in circuit._repr_html_()
    assert "paths that carry induction" in circuit._repr_html_() and "<img alt=" in circuit._repr_html_()


def test_a_circuit_is_held_against_that_of_another_checkpoint(inv: Investigation) -> None:
    now, before = inv.circuit("induction"), inv.at(30).circuit("induction")
    both = now.against(before)
    assert set(both.table.change) <= {"moved", "lost", "gained", "changed", "kept", "undecided"}
    assert both.difference.ends.paired and both.difference.ends.one_run
    assert f"{now.snapshot.title} and {before.snapshot.title}" in repr(both)
    assert "on the same prompts, paired" in both._repr_html_() and "<table" in both._repr_html_()
    parts = now.self_repair
    assert parts.patched.values.tolist() == inv.snapshot.heads
    whole = parts.direct + parts.later + parts.mlps + parts.scale
    assert np.allclose(whole, parts.total, atol=1e-5) and "What later heads take over" in now._repr_html_()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda inv: inv.circuit().against(inv.circuit("quotes")),
            "induction and quotes: compare circuits",
        ),
        (lambda inv: inv.circuit().against(inv.circuit()).table, "at step 60 against itself"),
        (lambda inv: inv["L7H0"], "no head L7H0: the model has layers 0 to 1"),
        (lambda inv: inv["nine"], "'nine' is not a head"),
        (lambda inv: inv.at(7), "no checkpoint at step 7: choose one of 0, 10, 30, 60"),
        (lambda inv: inv["L1H2"].on(""), "the text is empty"),
        (lambda inv: inv.circuit("telling jokes"), "unknown task 'telling jokes'"),
        (lambda inv: inv.compare("L0H0", "L0H9"), "no head L0H9"),
        (lambda inv: Investigation("nowhere"), "no run 'nowhere'"),
        (lambda inv: Investigation(make_model()), "give its corpus= and tokenizer="),
        (lambda inv: Investigation(inv.run, tokenizer=inv.run.tokenizer), "leave it out"),
    ],
)
def test_what_there_is_not_is_said_in_one_line(inv: Investigation, wrong, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        wrong(inv)
    assert "\n" not in str(raised.value)


def test_the_verb(inv: Investigation, page: str, trained: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(trained)
    out = inv.snapshot.cells.folder
    asked = ["--run", "tiny-seed0", "--out", str(out), "--tokens", "1500", "--workers", "1"]
    assert main(["investigate", "1:2", *asked]) == 0
    assert capsys.readouterr().out == f"wrote {out / 'heads/L1H2.html'}\n"
    assert content(page) == content((out / "heads/L1H2.html").read_text())
    assert faults((out / "heads/L1H2.html").read_text(), out / "heads") == []
    assert '<a href="heads/L1H2.html">' in (out / "index.html").read_text(), "the index is up to date"
    written = {file: file.read_bytes() for file in (out / "heads").iterdir()}
    other = inv["L1H2"].on("for x in range(3): print(x)")
    assert main(["investigate", "1:2", *asked, "--text", other.text]) == 0
    assert capsys.readouterr().out == f"wrote {out / 'heads' / other.file_name}.html\n"
    assert {file: file.read_bytes() for file in written} == written  # the card on other text has a name of its own
    assert other.save() == out / "heads" / f"{other.file_name}.html"  # in Python the same
    for wrong in (["L9H9"], ["L1H2", "--step", "7"], ["L1H2", "--step", "-1"]):
        assert main(["investigate", *wrong, *asked]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and captured.out == ""


def test_what_cannot_be_measured_is_said_in_its_place(trained: Path, tmp_path: Path, corpus_file: Path) -> None:
    lines = corpus_file.read_text().splitlines(keepends=True)
    (tmp_path / "short.jsonl").write_text("".join(lines[:: len(lines) // 40]))
    short = Investigation(trained / "runs/tiny-seed0", corpus=f"text:{tmp_path / 'short.jsonl'}", out=tmp_path / "out")
    page = short["L1H2"]._repr_html_()
    assert page.count("<p>Not measured:") >= 3 and "use more text" in page
    assert "It reads from layer 0" in page, "the weights need no text"
    with pytest.raises(ValueError, match="use more text"):
        _ = short["L1H2"].evidence
    assert "Not measured" in short._repr_html_()


def test_a_bug_is_not_said_to_be_unmeasured(inv: Investigation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError that is not NotMeasurable comes out of every place that says what cannot be measured."""
    fresh = Investigation(inv.run, out=inv.snapshot.cells.folder, tokens=1500)

    def fails(*arguments: object) -> None:
        raise ValueError("a mistake")

    def cannot(*arguments: object) -> None:
        raise NotMeasurable("use more text")

    assert layout.section("title", cannot).body == "<p>Not measured: use more text.</p>"
    with pytest.raises(ValueError, match="a mistake"):
        layout.section("title", fails)
    assert head_measures._allowed(cannot) == []
    with pytest.raises(ValueError, match="a mistake"):
        head_measures._allowed(fails)
    for error, outcome in ((cannot, contextlib.nullcontext()), (fails, pytest.raises(ValueError, match="a mistake"))):
        monkeypatch.setattr(Snapshot, "types", property(error))
        with outcome:
            assert "use more text" in fresh._repr_html_()
        with outcome:
            assert "Not measured: use more text" in fresh["L1H2"]._repr_html_()
        with outcome:
            assert "not measured: use more text" in fresh.compare("L1H0", "L1H1")._repr_html_()


def test_a_model_of_ones_own_becomes_a_run(trained: Path, tmp_path: Path, corpus_file: Path) -> None:
    run = runs.open_run(trained / "runs/tiny-seed0")
    sizes = {name: run.config["model"][name] for name in ("d_model", "n_ctx", "d_head", "n_heads", "d_vocab")}
    model = make_model(n_layers=1, **sizes).requires_grad_(False)
    about = {"corpus": f"text:{corpus_file}", "tokenizer": run.tokenizer, "out": tmp_path, "tokens": 1500}
    own = Investigation(model, **about)
    assert own.run.steps == [0] and own.run.name.startswith("model-")
    written = {path: path.stat().st_mtime_ns for path in own.run.folder.iterdir()}
    tokens = torch.arange(20)[None]
    np.testing.assert_allclose(own.run.model(0)(tokens), model(tokens), atol=1e-5)
    page = own["L0H1"]._repr_html_()
    assert page.count("the model has one layer: no head reads what another writes") == 2
    assert page.count("Not measured") == 2
    assert Investigation(model, **about).run.folder == own.run.folder
    assert {path: path.stat().st_mtime_ns for path in own.run.folder.iterdir()} == written
    other = make_model(seed=1, n_layers=1, **sizes)
    assert Investigation(other, **about).run.name != own.run.name


def test_committed_types_are_read_where_they_are_of_the_same(
    inv: Investigation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "swept")
    there = inv.snapshot.cells
    wanted = head_types.pass_of_types(there, 60, 1500)
    made = head_types.table(there, wanted)
    own = {"ablation": wanted.record()}
    path = there.commit(HEAD_TYPES, 60, **own)
    stored = store.cell_path(there.folder, key(there.inputs, HEAD_TYPES, 60, own))
    assert path.stat().st_size < 1.1 * stored.stat().st_size
    elsewhere = replace(there, folder=tmp_path / "elsewhere")
    found = head_types.table(elsewhere, wanted)
    assert not (tmp_path / "elsewhere").exists()
    xr.testing.assert_allclose(found, made, rtol=1e-6)
    assert (found.multigram_q == made.multigram_q).all() or made.multigram_q.isnull().any()
    assert {name: values.dtype for name, values in found.items()} == {n: v.dtype for n, v in made.items()}
    with monkeypatch.context() as nothing:  # neither a pass nor a type is measured by the verb
        nothing.setattr(Cells, "measure", None)
        asked = ["types", "--run", str(there.run.folder), "--out", str(tmp_path / "verb"), "--tokens", "1500"]
        assert main(asked) == 0
        assert (tmp_path / "verb/tables/types_60.csv").is_file()
    assert head_types.known(replace(elsewhere, committed=False), wanted) is None
    for other in (head_types.pass_of_types(there, 30, 1500), head_types.pass_of_types(there, 60, 1600)):
        assert head_types.known(elsewhere, other) is None
    monkeypatch.setattr(Run, "model_digest", lambda run, step: "others")
    assert head_types.known(elsewhere, wanted) is None


def test_the_bundled_types_are_of_the_bundled_weights() -> None:
    files = sorted((committed.FOLDER / "cells").glob("types_*"))
    assert len(files) == 3
    weights, own = set(), set()
    for number, file in enumerate(files):
        arrays, metadata = tensorfile.read(file)
        run = runs.open_run(f"mini-seed{number}")
        key = metadata["key"]
        assert (key["step"], key["ablation"]["tokens"]) == (run.steps[-1], head_types.TOKENS)
        own.add(run.model_digest(run.steps[-1]))
        weights.add(key["weights"])
        assert file.stat().st_size < 300_000 and len(arrays["effect"]) == 16
    assert weights == own
