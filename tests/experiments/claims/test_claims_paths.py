"""Claims 8 and 11 on planted truths, their opposites and their absence; closers and cuts against the model."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from ablations import effects, forward, rerun
from ablations.models import Model
from ablations.names import Head
from ablations.paths import Path as Route
from ablations.paths import cut
from circuits import induction, scores
from experiments import runs
from experiments.claims import induction_circuit, nested_brackets
from experiments.claims.induction_circuit import Cuts
from experiments.claims.nested_brackets import Closers
from experiments.figures import path_needs
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.statistics import matching
from experiments.tasks import bracket_effects, closer_odds, induction_cuts

RUN = runs.open_run("mini-seed0")
STEPS = np.array([0, 100, 200, 400, 800, 1600, 2600, 3600, 4800, 6000, 7200, 8400, 9600, 11000, 13000, 16000, 28000])


# claim 8


def closers(effect: float = 1.0, seed: int = 0, documents: int = 80, everywhere: bool = False) -> Closers:
    """Cutting the second path costs `effect` more late at nested closers; every cut costs more at a distance, where
    nested closers are rare, and documents differ.
    """
    generator, paths = np.random.default_rng(seed), ["L0H0->L1H0", "L0H1->L1H1", "L0H2->L1H2"]
    document = np.repeat(np.arange(documents), 20)
    nested = generator.random(len(document)) < 0.25
    distance = 1 + generator.poisson(np.where(nested, 4, 7))
    clean = 4 + generator.standard_normal((3, len(document)))
    of_documents = 0.3 * generator.standard_normal((3, 3, documents))
    lost = generator.standard_normal((3, 3, len(document))) + of_documents[..., document]
    lost[nested_brackets.LATE] += 0.5 * np.log(distance)
    lost[nested_brackets.LATE, slice(None) if everywhere else 1] += effect * nested
    odds = np.concatenate([clean[:, None], clean[:, None] - lost], axis=1)
    pos = 20 + generator.integers(0, 200, len(document))
    return Closers("one", 0, paths, odds, nested, document, distance, pos)


def test_a_path_that_nested_closers_come_to_need_is_found() -> None:
    found = nested_brackets.judge([closers()], ["one"])
    assert found.verdict == "replicated" and found.details["one"]["path"] == "L0H1->L1H1"
    assert found.interval is not None and found.value is not None
    assert abs(found.value - 1) < 4 * nested_brackets.tested(closers()).se
    assert [control.fired for control in found.controls] == [False, False, False]
    found.record()


def test_without_one_nothing_is_found_and_against_it_the_opposite() -> None:
    assert nested_brackets.judge([closers(0.0)], ["one"]).verdict == "inconclusive"
    assert nested_brackets.judge([closers(-1.0, everywhere=True)], ["one"]).verdict == "contradicted"
    shuffled = closers()
    generator = np.random.default_rng(3)
    shuffled = shuffled._replace(nested=generator.permutation(shuffled.nested))
    assert nested_brackets.judge([shuffled], ["one"]).verdict == "inconclusive"


def test_a_path_that_every_nested_path_shares_fires_the_control() -> None:
    found = nested_brackets.judge([closers(1.0, everywhere=True)], ["one"])
    assert found.verdict == "inconclusive" and found.controls[1].fired


def test_nested_closers_must_be_many_and_right() -> None:
    assert nested_brackets.judge([closers(documents=20)], ["one"]).verdict == "not testable"
    wrong = closers()
    wrong.odds[nested_brackets.LATE, 0] -= 5
    assert nested_brackets.judge([wrong], ["one"]).verdict == "not testable"


def test_controls_are_like_the_nested_closers() -> None:
    """Nested closers stand nearer to their openers: that is in the difference of means, but not in the contrast."""
    one = closers(0.0)
    inside = np.ones(len(one.nested), dtype=bool)
    weights = matching.matched(one.nested, nested_brackets.likeness(one, nested_brackets.LATE), inside)
    assert weights[one.nested].sum() == pytest.approx(1) and weights[~one.nested].sum() == pytest.approx(-1)
    effect = np.log(one.distance)
    assert effect[one.nested].mean() - effect[~one.nested].mean() < -0.4
    assert abs(weights @ effect) < 0.1
    value, influence = matching.contrast(weights, effect + 3, one.document)
    assert value == pytest.approx(float(weights @ effect)) and sum(influence.values()) == pytest.approx(0, abs=1e-12)


def test_the_error_is_that_of_repeated_experiments() -> None:
    """z of the chosen path's interaction without an effect, over data sets: mean 0 and variance 1; not so where closers
    are held against all others instead of those like them.
    """
    found = [nested_brackets.tested(closers(0.0, seed)) for seed in range(60)]
    z = np.array([one.value / one.se for one in found])
    assert abs(z.mean()) * np.sqrt(len(z)) < 4
    assert abs((z**2).mean() - 1) / np.sqrt(2 / len(z)) < 4
    unlike = []
    for seed in range(60):
        one = closers(0.0, seed)
        weights = np.where(one.nested, 1 / one.nested.sum(), -1 / (~one.nested).sum())
        lost = one.odds[:, :1] - one.odds[:, 1:]
        moved = (lost[nested_brackets.LATE] - lost[nested_brackets.EARLY])[0]
        value, influence = matching.contrast(weights, moved, one.document)
        unlike.append(value / np.sqrt((np.array([*influence.values()]) ** 2).sum()))
    assert np.mean(unlike) * np.sqrt(60) < -4


def test_runs_on_the_same_documents_are_no_new_documents() -> None:
    one = nested_brackets.tested(closers())
    twice = nested_brackets.pooled([one, one])
    assert twice.se == pytest.approx(nested_brackets.pooled([one]).se) == pytest.approx(one.se)
    other = one._replace(influence={document + 1000: value for document, value in one.influence.items()})
    assert nested_brackets.pooled([one, other]).se == pytest.approx(one.se / np.sqrt(2), rel=0.02)
    apart = nested_brackets.pooled([one, other._replace(value=one.value + 2)])
    assert apart.se > 0.9


# claim 11


def cuts(
    own: float = 3.0, rival: float = 1.0, shares: tuple[float, float] = (0.95, 0.5), matching: float = 0.5
) -> Cuts:
    """Two of four heads feed the keys; keys from two others are the rival."""
    generator, names = np.random.default_rng(0), ["L0H0+L0H1", "L0H0+L0H2", "L0H2+L0H3"]
    every = [f"{sources}.{via}" for sources, via in product(names, "qkv")]
    gain, lost = 0.1 * generator.standard_normal((2, 2, len(every), 32))
    lost *= 0.1
    for name, value, share in (("L0H0+L0H1.k", own, shares[0]), ("L0H2+L0H3.k", rival, shares[1])):
        gain[:, every.index(name)] += value
        lost[:, every.index(name)] += 0.4 * share
    untrained = Cuts("one", every, "L0H0+L0H1.k", matching, gain * 0.001, np.zeros_like(lost), np.full(32, 0.02))
    return Cuts("one", every, "L0H0+L0H1.k", matching, gain, lost, np.full(32, 0.4), untrained, {"L0H0->L1H4.k": 1})


def test_the_set_that_feeds_the_keys_is_found() -> None:
    found = induction_circuit.judge([cuts()], ["one"])
    assert found.verdict == "replicated" and found.value == pytest.approx(2, abs=0.2)
    assert found.p == pytest.approx(1 / 9) and not any(control.fired for control in found.controls)
    assert [control.name for control in found.controls][-1] == "the untrained model"
    assert induction_circuit._strangers(cuts()) == "L0H2+L0H3.k"
    found.record()


def test_another_set_that_takes_more_or_as_much_attention_denies_it() -> None:
    assert induction_circuit.judge([cuts(1.0, 3.0)], ["one"]).verdict == "contradicted"
    assert induction_circuit.judge([cuts(shares=(0.95, 0.9))], ["one"]).verdict == "inconclusive"
    assert induction_circuit.judge([cuts(shares=(0.5, 0.1))], ["one"]).verdict == "inconclusive"
    assert induction_circuit.judge([cuts(matching=0.1)], ["one"]).verdict == "not testable"
    shuffled, generator = cuts(), np.random.default_rng(1)
    order = generator.permutation(len(shuffled.cuts))
    shuffled = shuffled._replace(
        gain_lost=shuffled.gain_lost[:, order], attention_lost=shuffled.attention_lost[:, order]
    )
    assert induction_circuit.judge([shuffled], ["one"]).verdict != "replicated"


def test_both_methods_must_agree() -> None:
    one = cuts()
    one.gain_lost[1] = one.gain_lost[1][::-1]
    assert induction_circuit.judge([one], ["one"]).verdict != "replicated"


@pytest.mark.parametrize("via", ["q", "k", "v"])
def test_attention_under_a_cut_is_that_of_the_hooked_model(model: Model, via: str) -> None:
    tokens = torch.randint(50, (3, 8), generator=torch.Generator().manual_seed(2)).repeat(1, 2)
    weights, cfg = forward.weights_of(model), model.cfg
    sources: tuple[Head, ...] = ((0, 0), (0, 2))
    values = {(0, head): torch.randn(6, generator=torch.Generator().manual_seed(head)) for head in range(3)}
    with torch.no_grad():
        clean = rerun.clean_run(weights, cfg, tokens)
        found = induction.matching_attention(weights, cfg, clean, [(sources, via)], [(1, 1)], values)
        patterns: list[torch.Tensor] = []
        hooks = cut(model, [Route(source, (1, 1), via) for source in sources], values)  # type: ignore[arg-type]
        hooks.append(("blocks.1.attn.hook_pattern", lambda pattern, hook: patterns.append(pattern)))
        effects.run(model, tokens, hooks)
    expected = scores.prefix_matching(patterns[0], 8)[:, 1]
    torch.testing.assert_close(found[0], expected, atol=1e-6, rtol=1e-5)


# the cells


def test_single_closers_average_to_the_table(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bracket_effects, "ROWS", 3)
    asked = plan.default_plan(f"text:{corpus_file}", 256)
    cells = Cells(tmp_path, RUN, asked)
    last = RUN.steps[-1]
    table = bracket_effects.table(cells, last, 15_300)
    single = closer_odds.table(cells, last, 15_300, 3)
    nested = single.isel(closer=np.flatnonzero(single.group.values == 0)).log_odds
    lost = (nested.sel(change="clean") - nested).mean("closer").values[1:]
    np.testing.assert_allclose(table.lost.sel(group="nested").values, lost, atol=1e-5)
    assert (single.distance >= 1).all() and (single.pos > single.distance).all()
    assert len(np.unique(single.row)) == 3


def test_cutting_the_previous_token_head_takes_the_attention(
    corpus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(induction_cuts, "SEQUENCES", 4)
    on = Inputs(RUN, plan.default_plan(f"text:{corpus_file}", 256))
    found = induction_cuts.measure(on, RUN.steps[-1], Cells(Path("unused"), RUN, on.plan), ["L0H5", "L1H4"])
    lost = found.attention_lost.mean("sequence") / found.attention.mean()
    assert dict(found.sizes) == {"method": 2, "sources": 8, "via": 3, "sequence": 4}
    assert (lost.sel(sources="L0H5", via="k") > 0.8).all() and (np.abs(lost.sel(via="v")) < 1e-6).all()
    taken = found.gain_lost.mean("sequence")
    assert (taken.sel(sources="L0H5", via="k") == taken.max(("sources", "via"))).all()
    assert (taken.sel(sources="L0H5", via="k") < 1.5 * found.gain.mean()).all()


# the figures


def test_figures_name_what_stands_out() -> None:
    steps = np.array([0, 400, 4000])
    generator = np.random.default_rng(0)
    paths = [f"L0H{source}->L1H{target}" for source in range(3) for target in range(3)]
    lost = 0.05 * generator.standard_normal((3, 3, 9))
    lost[2, :, 4] = 3.0
    data = xr.Dataset(
        {
            "log_odds": (("step", "group"), np.full((3, 3), 2.0)),
            "log_odds_se": (("step", "group"), np.full((3, 3), 0.1)),
            "lost": (("step", "group", "path"), lost),
            "lost_se": (("step", "group", "path"), np.full(lost.shape, 0.1)),
        },
        {"step": steps, "group": ["nested", "unnested", "quote"], "path": paths, "tokens": ("step", steps / 100)},
        {"closers": {"nested": 5, "unnested": 60, "quote": 7}},
    )
    figure = path_needs.draw(data)
    named = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert named[0] == paths[4] and len(named) == path_needs.TOP
