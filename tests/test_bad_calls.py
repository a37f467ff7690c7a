"""Values that make no sense, in Python: a ValueError that names the value, or the type checker's where types say it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from jaxtyping import TypeCheckError

from ablations import (
    affected,
    changed_losses,
    changes,
    effects,
    forward,
    heads,
    names,
    patching,
    paths,
    rerun,
    substitutes,
)
from circuits import discover, graph, scores, tasks
from circuits.tasks import Task
from experiments import corpora, runs
from experiments.corpora import synthetic_language
from experiments.heldout.ablation_pass import AblationPass
from experiments.results import plan
from experiments.runs import presets, train
from experiments.storage import store, tensorfile
from llc import calibrate, chains, engine, gauge, losses, restrict
from llc.settings import QUICK, from_json, natural_nbeta
from tests.conftest import make_model

SHORT = replace(QUICK, num_draws=6, num_burnin=1)
MODEL = make_model()
CFG, WEIGHTS = MODEL.cfg, forward.weights_of(MODEL)
TOKENS = torch.randint(50, (4, 16), generator=torch.Generator().manual_seed(1))
EMPTY = TOKENS[:0]
LONG = torch.zeros(2, 21, dtype=torch.int64)
OUTSIDE, BELOW = torch.full((2, 8), 50), torch.full((2, 8), -1)
DOCUMENTS = np.arange(4)[:, None].repeat(16, 1)
TASK = Task("test", TOKENS, TOKENS.flip(0), TOKENS[:, 0], TOKENS[:, 1])
CHANGE = [changes.parse_change("L0H0")]
ZEROS = substitutes.zeros(CFG)
PATH = paths.parse_path("L0H0->L1H0.k")
EVERY = discover.candidates(CFG)
SETTINGS = ("lr", "nbeta", "localization", "batch_size", "num_chains")


def spoiled(value: float):  # type: ignore[no-untyped-def]
    """The model with one weight that is not finite."""
    model = make_model()
    model.W_E.data[3, 2] = value
    return model


def sample(model=MODEL, tokens=TOKENS, what=("L0H0",), **more: object) -> object:
    return engine.sample(model, tokens, what, **({"settings": SHORT, "seed": 0} | more))


def run(interventions: heads.Interventions, tokens: torch.Tensor = TOKENS) -> object:
    return effects.token_losses(MODEL, tokens, interventions)


def patched(clean=TOKENS, corrupted=TOKENS, sets=((PATH,),), **more) -> object:
    return patching.path_patching(MODEL, clean, corrupted, sets, lambda logits: logits.mean(), **more)


def blocks(tokens=TOKENS, what=CHANGE, values=ZEROS, **more: object) -> object:
    return list(changed_losses.blocks(WEIGHTS, CFG, tokens, what, values, **more))


def exact(task: Task = TASK, chosen=EVERY[:2]) -> object:
    return discover.exact(WEIGHTS, CFG, task, chosen)


def planned(**more: object) -> object:
    return replace(plan.default_plan("python", 64), **more)


def measured() -> xr.Dataset:
    column = ("path", np.zeros(1))
    data = {"effect": column, "se": column, "p": column, "found": ("path", [True]), "clean": 0.0, "corrupted": 0.0}
    return xr.Dataset(data, {"path": ["L0H0->L1H0.k"]}, {"prompts": 4})


CASES: dict[str, tuple[Callable[[], object], str]] = {
    # what varies
    "unknown restriction": (lambda: sample(what=["nonsense"]), "unknown restriction 'nonsense'"),
    "empty restriction": (lambda: sample(what=[""]), "unknown restriction ''"),
    "no such head": (lambda: sample(what=["L0H3"]), "no head L0H3"),
    "no such layer": (lambda: sample(what=["L2"]), "unknown restriction 'L2'"),
    "no such parameter": (lambda: sample(what=["blocks.0.mlp.W_in"]), "unknown restriction 'blocks.0.mlp.W_in'"),
    "a head twice": (lambda: sample(what=["L0H0+L0H0"]), "selects a parameter twice"),
    "a head in its layer": (lambda: sample(what=["L0+L0H1"]), "selects a parameter twice"),
    "a path as restriction": (lambda: sample(what=["L0H0->L1H0.k"]), "unknown restriction"),
    "a union without an end": (lambda: restrict.parse("L0H0+", WEIGHTS, CFG), "unknown restriction ''"),
    # the data of a chain
    "no rows": (lambda: sample(tokens=EMPTY), "no rows"),
    "rows of no token": (lambda: sample(tokens=TOKENS[:, :0]), "no tokens"),
    "rows of one token": (lambda: sample(tokens=TOKENS[:, :1]), "rows of 1 tokens"),
    "rows longer than the context": (lambda: sample(tokens=LONG), "rows of 21 tokens do not fit"),
    "a token outside": (lambda: sample(tokens=OUTSIDE), "token 50 is outside the vocabulary of 50"),
    "a negative token": (lambda: sample(tokens=BELOW), "token -1 is outside"),
    "tokens of floats": (lambda: sample(tokens=TOKENS.float()), "tokens"),
    "tokens of int32": (lambda: sample(tokens=TOKENS.int()), "tokens"),
    "one row alone": (lambda: sample(tokens=TOKENS[0]), "tokens"),
    "tokens of three dimensions": (lambda: sample(tokens=TOKENS[None]), "tokens"),
    "chains of no rows": (
        lambda: chains.sample(
            MODEL, EMPTY, restrict.parse("L0H0", WEIGHTS, CFG), loss=losses.next_token(), settings=SHORT, seed=0
        ),
        "no rows",
    ),
    # weights
    "NaN weights": (lambda: sample(spoiled(math.nan)), "weight embed.W_E is not finite"),
    "infinite weights": (lambda: sample(spoiled(-math.inf)), "weight embed.W_E is not finite"),
    # how
    "unknown path": (lambda: sample(path="quick"), "path"),
    "unknown gauge": (lambda: sample(gauge="even"), "gauge"),
    "unknown precision": (lambda: sample(precision="fp8"), "precision"),
    "fast for a layer": (lambda: sample(what=["L0"], path="fast"), "cannot take the fast path"),
    "no memory": (lambda: sample(memory=0), "memory=0"),
    "negative memory": (lambda: sample(memory=-1), "memory=-1"),
    "NaN token weights": (lambda: losses.weighted(torch.full((4, 15), math.nan), "x"), "not all finite"),
    # settings
    **{
        f"{field}={value}": (lambda field=field, value=value: replace(QUICK, **{field: value}), f"{field}={value}")
        for field in SETTINGS
        for value in ((-1.0, math.nan, math.inf) if field in SETTINGS[:3] else (0, -1))
    },
    "lr=0": (lambda: replace(QUICK, lr=0.0), "lr=0.0: it must be positive"),
    "three draws kept": (lambda: replace(QUICK, num_draws=33), "at least 4 draws must remain"),
    "no draws": (lambda: replace(QUICK, num_draws=0, num_burnin=0), "at least 4 draws must remain"),
    "negative burn-in": (lambda: replace(QUICK, num_burnin=-1), "num_burnin=-1"),
    "settings of no JSON": (lambda: from_json("{"), "holds no settings"),
    "settings of another kind": (lambda: from_json('{"nonsense": 1}'), "holds no settings"),
    "settings that are a list": (lambda: from_json("[1]"), "holds no settings"),
    "nbeta of one sample": (lambda: natural_nbeta(1), "n=1"),
    "nbeta of no sample": (lambda: natural_nbeta(0), "n=0"),
    "nbeta of less": (lambda: natural_nbeta(-5), "n=-5"),
    "a grid with lr 0": (lambda: calibrate.grid(QUICK, [0.0], [200.0], [10.0]), "lr=0.0"),
    "a grid with lr NaN": (lambda: calibrate.grid(QUICK, [math.nan], [200.0], [10.0]), "lr=nan"),
    "a grid without localization": (lambda: calibrate.grid(QUICK, [1e-3], [0.0], [10.0]), "localization=0.0"),
    "a grid that never settles": (lambda: calibrate.grid(QUICK, [1e-20], [1.0], [10.0]), "lr=1e-20"),
    "a grid with nbeta infinite": (lambda: calibrate.grid(QUICK, [1e-3], [200.0], [math.inf]), "nbeta=inf"),
    # gauges
    "spread below 1": (lambda: gauge.random_gauge(MODEL, 0, 0.5), "spread=0.5"),
    "spread NaN": (lambda: gauge.random_gauge(MODEL, 0, math.nan), "spread=nan"),
    # heads
    "not a head": (lambda: names.parse_head("head"), "'head' is not a head"),
    "a negative head": (lambda: names.parse_head("L0H-1"), "'L0H-1' is not a head"),
    "a head too far": (lambda: names.check_head((0, 3), CFG), "no head L0H3"),
    "a negative layer": (lambda: names.check_head((-1, 0), CFG), "no head L-1H0"),
    "zero of no such head": (lambda: run(heads.zero([(0, 3)])), "no head 3"),
    "zero of a negative head": (lambda: run(heads.zero([(0, -1)])), "no head -1"),
    "zero in no such layer": (lambda: run(heads.zero([(2, 0)])), "no hook blocks.2.attn.hook_z"),
    "a value of another width": (lambda: run(heads.replace({(0, 0): torch.zeros(7)})), r"shape \[7\] does not fit"),
    "mean of no such head": (lambda: heads.mean(MODEL, [(5, 0)], TOKENS), "no head L5H0"),
    "mean over no text": (lambda: heads.mean(MODEL, [(0, 0)], EMPTY), "no tokens"),
    "mean over longer rows": (lambda: heads.mean(MODEL, [(0, 0)], LONG), "rows of 21 tokens"),
    "mean over foreign tokens": (lambda: heads.mean(MODEL, [(0, 0)], OUTSIDE), "token 50 is outside"),
    "donors of another shape": (lambda: run(heads.resample(MODEL, [(0, 0)], TOKENS[:3])), "does not fit z of shape"),
    "run on no text": (lambda: run(heads.zero([(0, 0)]), EMPTY), "no tokens"),
    "run on longer rows": (lambda: run(heads.zero([(0, 0)]), LONG), "rows of 21 tokens"),
    "run on foreign tokens": (lambda: run(heads.zero([(0, 0)]), OUTSIDE), "token 50 is outside"),
    "no donor of another document": (lambda: heads.other_rows(DOCUMENTS, DOCUMENTS[:1], 0), "donors are needed"),
    "no donors": (lambda: heads.other_rows(DOCUMENTS, DOCUMENTS, 0, 0), "draws=0"),
    "a negative seed of donors": (lambda: heads.other_rows(DOCUMENTS, DOCUMENTS, -1), "seed=-1"),
    "mean z over no text": (lambda: substitutes.mean_z(WEIGHTS, CFG, EMPTY), "no rows"),
    # paths
    "no path": (lambda: paths.parse_path(""), "'' is not a path"),
    "a path without an input": (lambda: paths.parse_path("L0H0->L1H0"), "is not a path"),
    "the output has no input": (lambda: paths.parse_path("L0H0->output.k"), "is not a path"),
    "a path from nothing": (lambda: paths.parse_path("->L1H0.k"), "is not a path"),
    "a path with a third end": (lambda: paths.parse_path("L0H0->L1H0->L2H0.k"), "is not a head"),
    "cut of an unknown input": (lambda: paths.cut(MODEL, [paths.parse_path("L0H0->L1H0.x")]), "via|input 'x'"),
    "cut backwards": (lambda: paths.cut(MODEL, [paths.Path((1, 0), (0, 0), "k")]), "earlier layer"),
    "cut from no such head": (lambda: paths.cut(MODEL, [paths.Path((0, 9), (1, 0), "k")]), "no head L0H9"),
    "cut from no source": (lambda: paths.cut(MODEL, [paths.Path("mlp", (1, 0), "k")]), "no source 'mlp'"),
    "cut to no target": (lambda: paths.cut(MODEL, [paths.Path((0, 0), "logits")]), "no target 'logits'"),
    "cut with an unknown norm": (lambda: paths.cut(MODEL, [], layer_norm="ignore"), "layer_norm"),
    "rerun with an unknown norm": (
        lambda: rerun.prepare(WEIGHTS, CFG, rerun.clean_run(WEIGHTS, CFG, TOKENS), {}, "ignore"),
        "layer_norm",
    ),
    # changes
    "an empty change": (lambda: changes.parse_change(""), "'' is not a head"),
    "a change without an end": (lambda: changes.parse_change("L0H0+"), "'' is not a head"),
    "a change of no such head": (lambda: changes.check_change(changes.parse_change("L7H0"), CFG), "no head L7H0"),
    "nobody reads": (lambda: changes.reader(changes.parse_change("embed->output")), "nothing is removed by a head"),
    # patching
    "prompts of other shapes": (lambda: patched(corrupted=TOKENS[:, :5]), "positions must correspond"),
    "no prompts": (lambda: patched(EMPTY, EMPTY), "no tokens"),
    "an unknown direction": (lambda: patched(direction="sideways"), "direction"),
    "patched from the embedding": (lambda: patched(sets=[[paths.parse_path("embed->L1H0.k")]]), "is no head"),
    "patched backwards": (lambda: patched(sets=[[paths.parse_path("L1H0->L0H0.k")]]), "earlier layer"),
    # tables
    "a table of no rows": (lambda: blocks(EMPTY), "0 rows of 16 tokens"),
    "a table of single tokens": (lambda: blocks(TOKENS[:, :1]), "4 rows of 1 tokens"),
    "a table of longer rows": (lambda: blocks(LONG), "rows of 21 tokens"),
    "a table of foreign tokens": (lambda: blocks(OUTSIDE), "token 50 is outside"),
    "a table of no such head": (lambda: blocks(what=[changes.parse_change("L0H8")]), "no head L0H8"),
    "a table in no blocks": (lambda: blocks(rows_at_once=0), "rows_at_once=0"),
    "effects that are not finite": (
        lambda: affected.scored(np.full((1, 39), np.nan), np.ones((1, 40), int), *2 * [np.ones((1, 40), int)], 0),
        "not finite",
    ),
    "a list of nothing": (lambda: affected.top(affected.Hits(*6 * [np.zeros(0, int)]), 1, 0), "k=0"),
    "one document": (lambda: effects.clustered(np.ones(5), np.zeros(5, int)), "at least two"),
    # discovery
    "an empty task": (lambda: exact(Task("", EMPTY, EMPTY, EMPTY[:, 0], EMPTY[:, 0])), "no tokens"),
    "other prompts": (lambda: exact(TASK._replace(corrupted=TOKENS[:2])), "positions must correspond"),
    "too few answers": (lambda: exact(TASK._replace(right=TASK.right[:2])), "2 right and 4 wrong answers"),
    "an answer outside": (lambda: exact(TASK._replace(wrong=TASK.wrong + 50)), "is outside the vocabulary"),
    "a prompt outside": (lambda: exact(TASK._replace(clean=TOKENS + 50)), "is outside the vocabulary"),
    "no paths": (lambda: exact(chosen=[]), "no paths"),
    "a path of another model": (lambda: exact(chosen=[paths.parse_path("L0H0->L5H0.k")]), "no head L5H0"),
    "no gradients": (lambda: discover.attribution(WEIGHTS, CFG, TASK, EVERY, steps=0), "steps=0"),
    "no paths to attribute": (lambda: discover.attribution(WEIGHTS, CFG, TASK, []), "no paths"),
    "a rate of 0": (lambda: discover.significant(np.ones(3), 0.0), "rate=0.0"),
    "a rate of 2": (lambda: discover.significant(np.ones(3), 2.0), "rate=2.0"),
    "a rate of NaN": (lambda: discover.significant(np.ones(3), math.nan), "rate=nan"),
    "p above 1": (lambda: discover.significant(np.array([0.5, 1.5])), "not between 0 and 1"),
    "p NaN": (lambda: discover.significant(np.array([0.5, math.nan])), "not between 0 and 1"),
    "a circuit of other paths": (
        lambda: discover.evaluate(WEIGHTS, CFG, TASK, [paths.parse_path("L0H0->L5H0.k")]),
        "is not a path of this model",
    ),
    "a task that is none": (lambda: discover.evaluate(WEIGHTS, CFG, TASK._replace(corrupted=TOKENS), []), "nothing"),
    "random circuits too large": (lambda: discover.random_circuits(WEIGHTS, CFG, TASK, 10_000), "size=10000"),
    "random circuits never": (lambda: discover.random_circuits(WEIGHTS, CFG, TASK, 2, draws=0), "draws=0"),
    "rows too short to repeat": (lambda: tasks.induction(TOKENS[:, :3], TOKENS[:, 5]), "rows of 3 tokens"),
    "a replacement that is there": (lambda: tasks.induction(TOKENS, TOKENS[:, 5]), "is in it"),
    "no second copy": (lambda: scores.prefix_matching(torch.ones(1, 1, 8, 8), 5), "no second copy"),
    # graphs
    "a table without effects": (lambda: graph.from_table(CFG, measured().drop_vars("effect")), "no effect"),
    "a table without prompts": (lambda: graph.from_table(CFG, measured().drop_attrs()), "no prompts"),
    "a table of no path": (lambda: graph.from_table(CFG, measured().assign_coords(path=["x"])), "'x' is not a path"),
    # runs, files, corpora, plans
    "no run": (lambda: runs.open_run("nowhere"), "no run 'nowhere'"),
    "a run with no name": (lambda: runs.open_run(""), "no run ''"),
    "no such checkpoint": (lambda: runs.open_run("mini-seed0").model(7), "no checkpoint at step 7"),
    "a negative checkpoint": (lambda: runs.open_run("mini-seed0").arrays(-1), "no checkpoint at step -1"),
    "no tensor file": (lambda: tensorfile.read(Path("/nowhere/file.safetensors")), "not a whole safetensors file"),
    "no preset": (lambda: presets.get("huge"), "unknown preset 'huge'"),
    "a negative seed of training": (
        lambda: train.train(presets.get("tiny"), -1, 2, Path("/nowhere/run")),
        "seed=-1",
    ),
    "a seed beyond 64 bits": (lambda: train.train(presets.get("tiny"), 2**70, 2, Path("/nowhere/run")), "seed="),
    "a language of nonsense": (lambda: synthetic_language.parse("synthetic:nonsense=1"), "nonsense"),
    "a plan of no rows": (lambda: planned(text_rows=0), "text_rows=0"),
    "a plan of fewer": (lambda: planned(sampled_rows=-4), "sampled_rows=-4"),
    "a plan of a short context": (lambda: plan.default_plan("python", 2), "matching_period=0"),
    "a plan with a negative seed": (lambda: planned(seed=-1), "seed=-1"),
    "a plan with another reference": (lambda: planned(reference="first"), "reference='first'"),
    "a plan with another gauge": (lambda: planned(gauge="random"), "gauge='random'"),
    "a plan with half a gauge": (lambda: planned(gauge="balanced 1"), "gauge='balanced 1'"),
    "a share of 0": (lambda: corpora.interleave(None, None, 0.0), "share"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_makes_no_sense(name: str) -> None:
    call, message = CASES[name]
    with pytest.raises((ValueError, TypeCheckError), match=message) as caught:
        call()
    if isinstance(caught.value, ValueError):
        assert len(str(caught.value)) > 10
        assert "\n" not in str(caught.value)


def test_negative_control_the_same_calls_with_good_values() -> None:
    assert set(sample(what=["L0H0", "L1H2"])) == {"L0H0", "L1H2"}
    run(heads.zero([(0, 2), (1, 0)]))
    run(heads.mean(MODEL, [(0, 0)], TOKENS))
    run(heads.resample(MODEL, [(0, 0)], TOKENS))
    patched()
    assert len(blocks()) == 1
    exact()
    assert graph.from_table(CFG, measured()).number_of_edges() == 1
    planned(gauge="random 1", reference="same")
    calibrate.grid(QUICK, [1e-3], [200.0], [10.0])


@pytest.mark.parametrize("change", [{"method": "noise"}, {"layer_norm": "ignore"}, {"step": 7}, {"what": ("L9H9",)}])
def test_a_survey_of_what_is_not_there(change: dict, tmp_path: Path) -> None:
    from experiments.heldout import ablation_pass
    from experiments.results.inputs import Inputs

    on = Inputs(runs.open_run("mini-seed0"), plan.default_plan("python", 256))
    with pytest.raises((ValueError, TypeCheckError), match=r"method|layer_norm|no checkpoint|no head"):
        ablation_pass.check(replace(AblationPass(("L0H0",), 28_000, 100), **change), on)


def test_rows_of_a_corpus(corpus_file: Path) -> None:
    from experiments.corpora.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(f"text:{corpus_file}", 300)
    corpus = corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=64, split="test")
    for count in (0, -1, len(corpus) + 1):
        with pytest.raises(ValueError, match=f"{count}"):
            corpus.take(count)
    with pytest.raises(ValueError, match="split='nonsense'"):
        corpora.load(f"text:{corpus_file}", tokenizer=tokenizer, n_ctx=64, split="nonsense")
    for share in (0.0, 1.0, -0.5, math.nan):
        with pytest.raises(ValueError, match="share="):
            corpora.interleave(corpus, corpus, share)


def test_a_key_without_a_fingerprint() -> None:
    with pytest.raises(TypeError, match="no fingerprint: use JSON values"):
        store.fingerprint(a=object())
