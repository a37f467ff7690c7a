"""Passes over held-out text: equal to hooks on the same tokens, in parts, by any workers; and the verbs on them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from ablations import effects, heads, paths
from ablations.changes import parse_change
from ablations.names import all_heads, parse_head
from experiments import runs
from experiments.__main__ import main
from experiments.corpora.rows import bos
from experiments.heldout import ablation_pass, affected_tokens, induction_tokens, path_overlap
from experiments.heldout.ablation_pass import AblationPass
from experiments.jobs import executors
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from tests.experiments.pages.page_checks import faults

WHAT = ("L1H2", "L0H1", "L0H1+L1H2", "L0H1->L1H2.k", "L0H1->output")


@pytest.fixture
def found(trained: Path, tmp_path: Path) -> Cells:
    run = runs.open_run(trained / "runs/tiny-seed0")
    return Cells(tmp_path, run, default_plan(run.config["preset"]["corpus"], 64))


def interventions(model, name: str, values: dict) -> heads.Interventions:
    parts = name.split("+")
    chosen = {head: values[head] for part in parts if "->" not in part for head in [parse_head(part)]}
    cuts = [paths.parse_path(part) for part in parts if "->" in part]
    return paths.cut(model, cuts, values) + heads.replace(chosen)


def test_means_are_those_of_hooks_on_the_same_tokens(found: Cells) -> None:
    asked = ablation_pass.check(AblationPass(WHAT, 60, 3000, "mean"), found.inputs)
    means = ablation_pass.means(found, asked)
    model, rows = found.run.model(60), ablation_pass.rows_of(asked, found.inputs)
    tokens, counted = rows.batch(slice(None)), np.asarray(rows.tokens)[:, 1:] != bos(rows.tokenizer)
    assert 0.9 * 3000 < counted.sum() == means.attrs["tokens"]
    values = heads.mean_z(model, all_heads(model.cfg), found.inputs.reference)
    documents = np.asarray(rows.documents)[:, 1:][counted]
    for name in WHAT:
        by_hooks = effects.token_effects(model, tokens, interventions(model, name, values)).numpy()
        expected = effects.clustered(by_hooks[counted], documents)
        assert float(means.effect.sel(change=name)) == pytest.approx(expected.value, abs=2e-6)
        assert float(means.effect_se.sel(change=name)) == pytest.approx(expected.se, rel=1e-3, abs=2e-6)
    assert abs(float(means.effect.sel(change="L1H2"))) > 1e-4
    assert float(means.effect.sel(change="L1H2")) != float(means.effect.sel(change="L0H1"))


def test_a_longer_pass_goes_on_from_a_shorter_one_in_the_same_bits(found: Cells, tmp_path: Path, monkeypatch) -> None:
    short = ablation_pass.check(AblationPass(WHAT[:1], 60, 2 * ablation_pass.PART * 63, lists=True), found.inputs)
    ablation_pass.means(found, short)
    before = {file.name: file.stat().st_mtime_ns for file in (found.folder / "cells").iterdir()}
    assert len(before) == 2
    longer = replace(short, tokens=3 * ablation_pass.PART * 63)
    assert len(ablation_pass.missing(found, longer)) == 1
    hits = ablation_pass.hits(found, longer, "L1H2", 1, 30)
    assert {name: (found.folder / "cells" / name).stat().st_mtime_ns for name in before} == before
    alone = Cells(tmp_path / "other", found.run, found.plan)
    monkeypatch.setattr(ablation_pass, "WORTH_WORKERS", 0)
    with executors.pool(2) as executor:
        ablation_pass.compute(alone, [longer], executor)
    afresh = ablation_pass.hits(alone, longer, "L1H2", 1, 30)
    assert all(np.array_equal(a, b) for a, b in zip(hits, afresh, strict=True))
    for name in before:
        assert (found.folder / "cells" / name).read_bytes() == (alone.folder / "cells" / name).read_bytes()


def test_a_hit_is_measured_again_with_other_donors(found: Cells) -> None:
    asked = ablation_pass.check(AblationPass(("L0H1->L1H2.v",), 60, 4000, lists=True), found.inputs)
    hits = ablation_pass.hits(found, asked, asked.what[0], 1, 5)
    seen = affected_tokens.contexts(found.inputs, asked, asked.what[0], hits)
    model, rows = found.run.model(60), found.inputs.free_text
    for context in seen:
        tokens = rows.batch([context.row])
        assert context.target == rows.tokenizer.decode([int(tokens[0, context.pos])])
        logits = model(tokens)[0, context.pos - 1]
        target = int(tokens[0, context.pos])
        assert context.p_clean == pytest.approx(float(logits.softmax(-1)[target]), rel=1e-4)
        draws = ablation_pass.stand_in(found.inputs, asked, slice(context.row, context.row + 1), half=1)(slice(0, 1))
        assert len(draws) == ablation_pass.DRAWS
        cut = [paths.parse_path(asked.what[0])]
        by_hooks = [
            effects.token_effects(model, tokens, paths.cut(model, cut, values))[0, context.pos - 1] for values in draws
        ]
        assert context.effect == pytest.approx(float(torch.stack(by_hooks).mean()), abs=1e-5)
        assert context.document == rows.documents[context.row, context.pos]
        assert context.position == rows.positions[context.row, context.pos]
        assert sum(context.attention) <= 1 + 1e-5
    draws = ablation_pass.stand_in(found.inputs, asked, slice(0, 1), half=0)(slice(0, 1))
    chosen = {values[0, 1].data_ptr() for values in draws}
    assert chosen
    halves = [ablation_pass.donors(found.inputs, 60, half).documents for half in (0, 1)]
    reference = found.inputs.reference_documents
    assert (np.concatenate(halves) == reference).all()  # disjoint rows: what chooses a list never prints it


def test_the_winners_curse_is_there_to_be_removed(found: Cells) -> None:
    """Among many noisy numbers the largest are too large; the same tokens' fresh ones are smaller, on average."""
    asked = ablation_pass.check(AblationPass(("L1H2",), 60, 6000, lists=True), found.inputs)
    hits = ablation_pass.hits(found, asked, "L1H2", 1, 40)
    fresh = [context.effect for context in affected_tokens.contexts(found.inputs, asked, "L1H2", hits)]
    assert np.mean(fresh) < np.mean(hits.effect / 1e6)


def test_repeats_are_found() -> None:
    tokens = np.array([[0, 5, 6, 7, 5, 6, 8, 6, 7, 7]])
    hits = induction_tokens.Hits(
        *(np.zeros(5, int),) * 3, np.zeros(5, int), np.array([5, 6, 8, 2, 9]), np.zeros((5, 5), int)
    )
    assert induction_tokens.repeated(tokens, hits).tolist() == [True, False, True, False, False]


def test_the_verbs(trained: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(trained)

    def run(*arguments: str) -> list[str]:
        assert main([*arguments, "--run", "tiny-seed0", "--tokens", "3000", "--out", str(tmp_path)]) == 0
        return capsys.readouterr().out.splitlines()

    lines = run("ablate", "L0H1", "1:3", "L0H1+L1H3", "L0H1->L1H3.k")
    assert [line.split()[0] for line in lines[-4:]] == ["L0H1", "L1H3", "L0H1+L1H3", "L0H1->L1H3.k"]
    lines = run("paths", "--top", "3")
    table = pd.read_csv(tmp_path / "tables/path_effects.csv", keep_default_na=False)
    assert len(table) == 4 * 4 * 3 + 8
    ranked = table.reindex(table.effect.abs().sort_values(ascending=False).index)
    assert [line.split()[0] for line in lines[2:5]] == ranked.change[:3].tolist()
    assert (tmp_path / "figures/path_effects.png").stat().st_size > 10_000
    lines = run("affected", "L0H1->L1H3.k", "--top", "4")
    assert sum(line.startswith("     predicted") for line in lines) == 8
    page = (tmp_path / "affected_L0H1-L1H3.k.html").read_text()
    assert page.count("class=target") == 8
    assert "http" not in page and faults(page, tmp_path) == []
    assert pd.read_csv(tmp_path / "tables/affected_L0H1-L1H3.k.csv").groupby("sign").size().tolist() == [4, 4]


def test_the_circuit_verb_writes_graph_table_and_picture(trained: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(trained)
    assert main(["circuit", "--run", "tiny-seed0", "--top", "3", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("task induction, step 60: logit difference")
    table = pd.read_csv(tmp_path / "tables/circuit_induction_60.csv")
    assert len(table) == 8 * 3 + 4 * 4 * 3 + 9
    assert f"{table.passed.sum()} paths pass a false-discovery rate of 5%, {table.found.sum()} of them" in lines[1]
    said = f"The circuit is the {table.found.sum()} of {len(table)} paths that do both: {table.on_way.sum()} lie"
    assert said in lines[2]
    assert table.found[table.on_way].all() and table.passed[table.found].all()
    assert (table[["read", "scale"]].notna().all(axis=1) == table.passed).all()
    assert (table.read + table.scale)[table.passed].to_numpy() == pytest.approx(table.effect[table.passed], rel=1e-4)
    assert lines[3].startswith("As a hypothesis it is not tested: no path was found on most resamples")
    assert not table.found.any()
    assert lines[4].startswith("Self-repair: ")
    assert [line.split()[0] for line in lines[6:9]] == table.path[:3].tolist()
    read = nx.node_link_graph(json.loads((tmp_path / "circuit_induction_60.json").read_text()), edges="edges")
    assert read.number_of_nodes() == 10
    assert set(json.loads((tmp_path / "circuit_induction_60_mib.json").read_text())) == {"cfg", "nodes", "edges"}
    assert (tmp_path / "figures/circuit_induction_60.png").stat().st_size > 10_000
    between = table.path.str.match(r"L\dH\d->L\dH\d")
    assert (table[["composition_z", "overlap_z"]].notna().all(axis=1) == between).all()
    assert read.edges["L0H1", "L1H0"]["k"]["composition"] == pytest.approx(
        float(table.set_index("path").composition["L0H1->L1H0.k"]), rel=1e-5
    )
    assert {"effect", "se"} <= set(read.nodes["L1H2"])
    page = (tmp_path / "circuit_induction_60.html").read_text()
    assert page.count("<img ") == 1 and faults(page, tmp_path) == []
    assert page.count("<tr>") == 1 + 3 + 1 + 8  # the strongest paths, and what later heads take over
    assert main(["circuit", "--task", "chess", "--run", "tiny-seed0", "--out", str(tmp_path)]) == 2
    assert "unknown task 'chess'" in capsys.readouterr().err


def test_the_circuit_verb_holds_another_checkpoint_against_it(
    trained: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(trained)
    asked = ["circuit", "--run", "tiny-seed0", "--top", "3", "--against", "30", "--out", str(tmp_path)]
    assert main(asked) == 0
    assert "From tiny-seed0, step 60 to tiny-seed0, step 30, on the same prompts, paired: " in capsys.readouterr().out
    changes = pd.read_csv(tmp_path / "tables/circuit_induction_60_against_30.csv")
    assert {"path", "counterpart", "change", "difference", "difference_half", "q"} <= set(changes)
    page = (tmp_path / "circuit_induction_60.html").read_text()
    assert ">Against tiny-seed0, step 30</h2>" in page and "--step 60 --against 30</code>" in page


def test_the_circuit_verb_holds_another_run_against_it(trained: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """A copy of the run does the same; at another checkpoint it does not."""
    monkeypatch.chdir(trained)
    copy = shutil.copytree(trained / "runs/tiny-seed0", tmp_path / "copy-of-tiny")
    asked = ["circuit", "--run", "tiny-seed0", "--top", "3", "--against", str(copy), "--out", str(tmp_path / "out")]
    assert main(asked) == 0
    changes = pd.read_csv(tmp_path / "out/tables/circuit_induction_60_against_copy-of-tiny.csv")
    assert (changes.difference == 0).all() and (changes.change != "changed").all()
    assert "Against copy-of-tiny, step 60</h2>" in (tmp_path / "out/circuit_induction_60.html").read_text()
    other = ["circuit", "--run", str(copy), "--against", "tiny-seed0", "--step", "30", "--out", str(tmp_path / "other")]
    assert main(other) == 0
    assert "From copy-of-tiny, step 30 to tiny-seed0, step 30" in capsys.readouterr().out


def test_paths_of_some_heads_are_those_of_all(trained: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(trained)
    asked = ["circuit", "--run", "tiny-seed0", "--top", "3", "--out", str(tmp_path)]
    assert main(asked) == main([*asked, "--heads", "1:2", "L0H1"]) == 0
    said = capsys.readouterr().out
    whole, part = (
        pd.read_csv(tmp_path / "tables" / name)
        for name in ("circuit_induction_60.csv", "circuit_induction_60_L1H2+L0H1.csv")
    )
    own = whole[whole.path.str.contains("L1H2|L0H1")]
    assert len(part) == len(own) == 2 * 3 + 2 * 4 * 3 - 3 + 2  # from the embedding, between heads, to the output
    assert part.path.tolist() == own.path.tolist()
    assert part.effect.to_numpy() == pytest.approx(own.effect.to_numpy(), rel=1e-5)
    assert part.half_width.to_numpy() == pytest.approx(own.half_width.to_numpy(), rel=1e-5)
    assert f"{part.found.sum()} of the {len(part)} paths from and into L1H2, L0H1 pass" in said
    assert main([*asked, "--heads", "L1H2", "--formation"]) == 2
    assert "leave one of them out" in capsys.readouterr().err

    cut = ["paths", "--run", "tiny-seed0", "--tokens", "2000", "--out", str(tmp_path)]
    assert main(cut) == main([*cut, "--heads", "L1H2"]) == 0
    whole, part = (pd.read_csv(tmp_path / f"tables/path_effects{end}.csv") for end in ("", "_L1H2"))
    own = whole[(whole.source == "L1H2") | (whole.target == "L1H2")]
    assert len(part) == len(own) == 4 * 3 + 1
    assert part.set_index("change").effect.to_dict() == own.set_index("change").effect.to_dict()
    _ = capsys.readouterr()
    for verb in ("types", "paths", "circuit"):
        assert main([verb, "--run", "tiny-seed0", "--heads", "L1H2", "L7H0", "--out", str(tmp_path)]) == 2
        assert capsys.readouterr().err == "error: no head L7H0: the model has layers 0 to 1 and heads 0 to 3\n"


def test_the_circuit_verb_shows_how_it_formed(trained: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(trained)
    steps = runs.open_run("tiny-seed0").steps
    assert main(["circuit", "--run", "tiny-seed0", "--formation", "--out", str(tmp_path)]) == 0
    formed = json.loads((tmp_path / "circuit_induction_formation.json").read_text())["steps"]
    chosen = [at["step"] for at in formed]
    assert (chosen[0], chosen[-1]) == (steps[0], steps[-1])
    assert 2 <= len(chosen) <= 6, "where nothing is found nothing changes"
    last = nx.node_link_graph(formed[-1]["graph"], edges="edges")
    table = pd.read_csv(tmp_path / "tables/circuit_induction_60.csv").set_index("path")
    assert last.edges["L0H1", "L1H0"]["k"]["effect"] == pytest.approx(table.effect["L0H1->L1H0.k"], rel=1e-5)
    assert (tmp_path / "circuit_induction_60.html").read_text().count("<img ") == 2
    assert (tmp_path / "figures/circuit_induction_formation.png").stat().st_size > 10_000
    cells = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert sum(path.name.startswith("path_effects") for path in cells) == min(18, len(steps))
    assert main(["circuit", "--run", "tiny-seed0", "--formation", "--out", str(tmp_path)]) == 0  # nothing is repeated
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == cells


def test_overlap_is_told_for_paths_between_heads_only() -> None:
    assert path_overlap.ends_of(parse_change("L0H1->L1H2.k")) == ("L0H1", "L1H2")
    for text in ("L1H2", "embed->L1H2.k", "L0H1->output", "L0H1->L1H2.k+L0H0->L1H2.k"):
        assert path_overlap.ends_of(parse_change(text)) == ()
