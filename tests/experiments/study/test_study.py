"""Runs as one study: ways of measuring, shared checkpoints, the foreign corpus, and the committed sweep."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import xarray as xr

from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.cli.arguments import BUNDLED
from experiments.corpora import documents
from experiments.jobs import device, executors
from experiments.jobs.job import Job, JobsFailed
from experiments.measurements import rllc, variants
from experiments.measurements.ablations import ABLATIONS
from experiments.measurements.curvature import CURVATURE
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.rllc import RLLC
from experiments.measurements.variants import FEW, MAIN
from experiments.results import committed, plan
from experiments.results.cells import Cells
from experiments.results.keys import key
from experiments.results.kind import Kind
from experiments.runs.run import Run
from experiments.storage import store
from experiments.study import compute
from experiments.study.study import Study
from llc import engine
from llc.settings import MINI, QUICK

SMALL = replace(QUICK, name="SMALL", num_draws=12, num_burnin=4)


@pytest.fixture
def cells(trained: Path, tmp_path: Path) -> Cells:
    run = runs.open_run(trained / "runs/tiny-seed0")
    chosen = plan.default_plan(run.config["preset"]["corpus"], 64)
    return Cells(tmp_path / "results", run, replace(chosen, llc=SMALL, sampled_rows=64))


def test_each_way_changes_one_thing() -> None:
    chosen = plan.default_plan("python", 256)
    ways = variants.ways(chosen)
    record = {name: value for name, value in chosen.record().items() if name != "llc_checkpoints"}
    changed = {
        way: {name for name, value in one.record().items() if name in record and value != record[name]}
        for way, one in ways.items()
    }
    assert changed["training"] == set()
    assert changed["code"] == {"corpus"} and ways["code"].corpus == "python:code"
    assert changed["one-layer"] == {"reference"}
    assert changed["recalibrated"] == {"llc", "sampler"} and ways["recalibrated"].llc == MINI != QUICK
    assert all(changed[way] == {"gauge"} for way in ("balanced", "random 1", "random 2"))
    for label, way in variants.SURVIVAL.items():
        assert {way, f"code, {way}", f"one-layer, {way}"} <= set(ways), label


def test_the_bundled_seeds_are_sampled_at_the_same_steps() -> None:
    first, *others = (runs.open_run(name) for name in BUNDLED)
    steps = plan.evenly_chosen(first.steps, FEW)
    assert steps[0] == 0  # the untrained model, of the first seed alone
    assert {variants.middle_step(run) for run in (first, *others)} == {4800}
    for other in others:
        assert plan.evenly_chosen(other.steps, FEW) == other.steps == steps[1:]
    assert plan.evenly_chosen(first.steps, 1) == [28000]


def test_the_foreign_corpus_is_the_same_every_time_and_its_splits_are_apart() -> None:
    train, test = (list(documents.texts("cpp", split)) for split in ("train", "test"))
    assert train == list(documents.texts("cpp", "train"))
    assert not set(train) & set(test)
    assert 0.03 < sum(map(len, test)) / sum(map(len, train)) < 0.3
    assert sum("#include" in text for text in train) > 0.5 * len(train)
    assert not any(text.startswith("def ") for text in train)


def test_nothing_is_sampled_behind_the_users_back(cells: Cells) -> None:
    with pytest.raises(ValueError, match="not sampled yet: use the verb sweep"):
        Study((cells,)).rllc(cells)
    assert not (cells.folder / "cells").exists()


def test_a_committed_table_is_read_where_it_is_asked_for_and_is_of_the_same_model(
    cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committed, "FOLDER", tmp_path / "swept")
    last = replace(cells, plan=replace(cells.plan, llc_checkpoints=1))
    path = last.commit(RLLC)
    assert path.stat().st_size < 100_000
    elsewhere = replace(last, folder=tmp_path / "elsewhere", committed=True)
    read = elsewhere.table(RLLC)
    made = last.table(RLLC)
    xr.testing.assert_equal(read, made[list(read.data_vars)])
    assert "trace_loss" in made and "trace_loss" not in read
    assert elsewhere.missing_tables([RLLC]) == [] and not (elsewhere.folder / "cells").exists()
    assert replace(elsewhere, committed=False).missing_tables([RLLC])
    for changed in ({"gauge": "balanced"}, {"seed": 1}, {"llc": replace(SMALL, nbeta=10.0)}):
        assert replace(elsewhere, plan=replace(elsewhere.plan, **changed)).missing_tables([RLLC]), changed
    monkeypatch.setattr(Run, "model_digest", lambda run, step: "others")
    assert elsewhere.missing_tables([RLLC])


def test_a_gauge_changes_the_coefficients_and_not_the_loss(cells: Cells) -> None:
    last = replace(cells, plan=replace(cells.plan, llc_checkpoints=1))
    tables = {
        gauge: replace(last, plan=replace(last.plan, gauge=gauge)).table(RLLC)
        for gauge in ("trained", "balanced", "random 1")
    }
    for gauge in ("balanced", "random 1"):
        assert abs(tables[gauge].trace_center_loss - tables["trained"].trace_center_loss).max() < 1e-4
        assert abs(tables[gauge].value - tables["trained"].value).max() > 0.01


def test_the_plans_sampler_is_the_one_that_samples(cells: Cells) -> None:
    values = {}
    for name in plan.SAMPLERS:
        record = cells.planned(sampler=name).get(RLLC, 60, restriction="L0H1")
        assert record.attrs["kernel"] == name.removesuffix(plan.VARIATE).replace("-", "_")
        assert ("control_variate" in record.attrs) == name.endswith(plan.VARIATE)
        values[name] = float(record.value)
    assert len(set(values.values())) == len(plan.SAMPLERS)
    with pytest.raises(ValueError, match="sampler='hmc': it is one of sgld, sgld-cv, leimkuhler-matthews"):
        cells.planned(sampler="hmc")


def test_the_whole_models_coefficient_is_refined_by_the_text(cells: Cells, tmp_path: Path) -> None:
    sentences = (f"{n} apples and {n + 1} pears make a pie " * 9 for n in range(400))
    (tmp_path / "words.txt").write_text("\n\n\n".join(sentences))
    last = replace(cells, plan=replace(cells.plan, llc_checkpoints=1))
    own = last.table(FULL_LLC)
    other = replace(last, plan=replace(last.plan, corpus=f"text:{tmp_path / 'words.txt'}")).table(FULL_LLC)
    assert own.sizes["step"] == 1 and float(own.se.squeeze()) > 0
    assert float(own.value.squeeze()) != float(other.value.squeeze())
    assert MAIN in variants.texts(last) and "C++" in variants.texts(last)


def test_what_is_there_is_assembled_while_the_rest_is_missing(cells: Cells) -> None:
    last = replace(cells, plan=replace(cells.plan, llc_checkpoints=2))
    with pytest.raises(ValueError, match="nothing of it was measured yet"):
        last.assembled(RLLC)
    task = last.missing_tables([RLLC])[-1]  # the second layer at the last checkpoint
    task.function(*task.arguments)
    some = last.assembled(RLLC)
    assert some.value.dims == ("step", "restriction") and some.value.shape == (2, 8)
    assert some.value.notnull().values.tolist() == [[False] * 8, [False] * 4 + [True] * 4]
    assert some.verdict.values[0, 0] == "" and some.verdict.values[1, 7] != ""
    assert some.layer.values.tolist() == [0] * 4 + [1] * 4
    frame = some[["value", "se"]].to_dataframe().dropna()
    assert frame.loc[(60, "L1H3"), "value"] == float(some.value[1, 7]) and len(frame) == 4
    whole = last.table(RLLC)
    assert whole.value[1, 4:].equals(some.value[1, 4:]) and whole.value.notnull().all()
    assert last.assembled(RLLC).identical(whole)


def test_cells_that_came_meanwhile_are_not_computed_again(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    last = replace(cells, plan=replace(cells.plan, llc_checkpoints=1))
    (first, second), sampled = last.missing_tables([RLLC]), []
    sample = engine.sample

    def counted(model: object, tokens: object, restrictions: list[str], **settings: object) -> dict[str, xr.Dataset]:
        sampled.append(restrictions)
        return sample(model, tokens, restrictions, **settings)

    monkeypatch.setattr(rllc.engine, "sample", counted)
    first.function(*first.arguments[:-1], {"restrictions": ["L0H1", "L0H2"]})  # another sweep, cut otherwise
    before = {path: path.stat().st_mtime_ns for path in (last.folder / "cells").iterdir()}
    for job in (first, first, second):
        job.function(*job.arguments)
    assert sampled == [["L0H1", "L0H2"], ["L0H0", "L0H3"], ["L1H0", "L1H1", "L1H2", "L1H3"]]
    assert before.items() <= {path: path.stat().st_mtime_ns for path in (last.folder / "cells").iterdir()}.items()
    store.keep(last.folder, key(last.inputs, RLLC, 60, {"restriction": "L0H1"}), xr.Dataset({"value": 1.0}))
    assert before.items() <= {path: path.stat().st_mtime_ns for path in (last.folder / "cells").iterdir()}.items()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", [RLLC, FULL_LLC, CURVATURE], ids=lambda kind: kind.name)
def test_a_gpu_gives_the_same_values(cells: Cells, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = replace(cells, plan=replace(cells.plan, llc_checkpoints=1))
    on_cpu = last.table(kind)
    monkeypatch.setenv(device.VARIABLE, "cuda")
    on_gpu = replace(last, folder=tmp_path / "gpu").table(kind)
    value, se = ("hessian", "hessian_se") if kind is CURVATURE else ("value", "se")
    assert (abs(on_gpu[value] - on_cpu[value]) < 0.01 * on_cpu[se]).all()


def test_tables_go_to_zarr_and_back(cells: Cells, tmp_path: Path) -> None:
    cells.table(ABLATIONS).to_zarr(tmp_path / "table.zarr", zarr_format=2)
    assert xr.open_zarr(tmp_path / "table.zarr").load().identical(cells.table(ABLATIONS))


def refuse(folder: Path, error: Exception) -> None:
    raise error


def test_what_a_text_does_not_allow_is_left_to_the_finding_and_other_failures_are_not(tmp_path: Path) -> None:
    errors = (NotMeasurable("no brackets"), NotMeasurable("no quotes"), RuntimeError("a mistake"))
    jobs = [Job(refuse, (tmp_path, error), 1.0, str(error)) for error in errors]
    compute._run_possible(jobs[:2], executors.Here(), "test")
    with pytest.raises(JobsFailed, match="3 of 3 jobs failed"):
        compute._run_possible(jobs, executors.Here(), "test")


def misname(folder: Path) -> None:
    parse_head("nonsense")


def test_another_value_error_is_not_taken_for_what_a_text_does_not_allow(tmp_path: Path) -> None:
    no_brackets = Job(refuse, (tmp_path, NotMeasurable("no brackets")), 1.0, "no brackets")
    bug = Job(refuse, (tmp_path, ValueError("a mistake")), 1.0, "a mistake")
    misnamed = Job(misname, (tmp_path,), 1.0, "no head")
    for jobs, message in (
        ([no_brackets, bug], "2 of 2 jobs failed"),
        ([bug], "Bug: ValueError: a mistake"),
        ([no_brackets, misnamed], "2 of 2 jobs failed"),
    ):
        with pytest.raises(JobsFailed, match=message):
            compute._run_possible(jobs, executors.Here(), "test")
    with pytest.raises(ValueError, match="'nonsense' is not a head") as caught:
        compute._run_possible([misnamed], executors.Here(), "test")
    assert not isinstance(caught.value, NotMeasurable)
