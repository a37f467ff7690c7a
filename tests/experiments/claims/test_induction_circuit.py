"""Claim 11 on the set that feeds the keys, on others that take as much, and on none; cuts against the model."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from ablations import effects, forward, rerun
from ablations.models import Model
from ablations.names import Head
from ablations.not_measurable import NotMeasurable
from ablations.paths import Path as Route
from ablations.paths import cut
from circuits import induction, scores
from experiments import runs
from experiments.claims import induction_circuit
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.results.inputs import Inputs
from experiments.study import circuit_cuts
from experiments.study.circuit_cuts import Cuts
from experiments.study.verdict import Finding
from experiments.tasks import induction_cuts

RUN = runs.open_run("mini-seed0")


def cuts(
    own: float = 3.0,
    rival: float = 1.0,
    shares: tuple[float, float] = (0.95, 0.3),
    matching: float = 0.5,
    partner: float = 0.0,
    seed: int = 0,
) -> Cuts:
    """Two of four heads feed the keys; keys from the two others are the rival; partner: what keys from one of ours and
    one of theirs take.
    """
    generator, names = np.random.default_rng(seed), ["L0H0+L0H1", "L0H0+L0H2", "L0H2+L0H3"]
    every = [f"{sources}.{via}" for sources, via in product(names, "qkv")]
    gain, lost = 0.1 * generator.standard_normal((2, 2, len(every), 32))
    lost *= 0.1
    of_sets = ((own, shares[0]), (partner, 0.9 * bool(partner)), (rival, shares[1]))
    for name, (value, share) in zip(names, of_sets, strict=True):
        gain[:, every.index(f"{name}.k")] += value
        lost[:, every.index(f"{name}.k")] += 0.4 * share
    untrained = Cuts("one", every, "L0H0+L0H1.k", matching, gain * 0.001, np.zeros_like(lost), np.full(32, 0.02))
    return Cuts("one", every, "L0H0+L0H1.k", matching, gain, lost, np.full(32, 0.4), untrained, {"L0H0->L1H4.k": 1})


def judged(*every: Cuts) -> Finding:
    named = [one._replace(name=f"seed{number}") for number, one in enumerate(every)]
    return induction_circuit.judge(named, [one.name for one in named])


def test_the_set_that_feeds_the_keys_is_found() -> None:
    found = judged(*(cuts(seed=seed) for seed in range(3)))
    assert found.verdict == "replicated" and found.value == pytest.approx(2, abs=0.2)
    assert found.value is not None and found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]
    assert found.p == pytest.approx(1 / 4**3) and not any(control.fired for control in found.controls)
    assert [control.name for control in found.controls][-1] == "the untrained model"
    assert circuit_cuts.strangers(cuts()) == "L0H2+L0H3.k"
    found.record()


def test_rivals_hold_none_of_the_claimed_heads() -> None:
    one = cuts(partner=5.0)  # which takes the most of all, with a claimed head in it
    assert circuit_cuts.rivals(one.cuts, one.claimed) == ["L0H2+L0H3.q", "L0H2+L0H3.k", "L0H2+L0H3.v"]
    assert judged(one).verdict == "replicated"
    assert circuit_cuts.margin(one, "L0H2+L0H3.k").rank == 2  # against the claimed set's inputs
    with pytest.raises(NotMeasurable, match="no set as large holds none of L0H0, L0H2"):
        circuit_cuts.margin(one, "L0H0+L0H2.k")


def test_another_set_that_takes_more_denies_it_and_half_of_the_attention_must_go() -> None:
    assert judged(*(cuts(1.0, 3.0, seed=seed) for seed in range(3))).verdict == "contradicted"
    assert judged(*(cuts(shares=(0.4, 0.1), seed=seed) for seed in range(3))).verdict == "contradicted"
    assert judged(cuts(shares=(0.95, 0.9))).verdict == "replicated"  # what a rival removes is no matter
    assert judged(cuts(matching=0.1)).verdict == "not testable"
    shuffled, generator = cuts(), np.random.default_rng(1)
    order = generator.permutation(len(shuffled.cuts))
    shuffled = shuffled._replace(
        gain_lost=shuffled.gain_lost[:, order], attention_lost=shuffled.attention_lost[:, order]
    )
    assert judged(shuffled).verdict != "replicated"


def test_seven_of_eight_seeds_are_most_and_six_are_not() -> None:
    good, bad = [cuts(seed=seed) for seed in range(7)], cuts(1.0, 1.5)
    found = judged(*good, bad)
    assert found.verdict == "replicated" and "7 of 8 seeds meet the criterion" in found.diagnosis
    assert found.p == pytest.approx(stats.binom.sf(6, 8, 1 / 4))
    assert judged(*good[:6], bad, bad).verdict == "inconclusive"
    assert judged(*good[:3], bad).verdict == "inconclusive"  # fewer than eight: all
    weak = cuts(shares=(0.4, 0.1))
    assert judged(good[0], *[weak] * 7).verdict == "contradicted"  # one seed of eight loses half of the attention
    assert judged(*good[:2], *[weak] * 6).verdict == "inconclusive"


def test_chance_is_that_of_seeds_with_as_many_cuts_each() -> None:
    assert induction_circuit.chance([4] * 8, 7) == pytest.approx(stats.binom.sf(6, 8, 1 / 4))
    assert induction_circuit.chance([2, 4], 1) == pytest.approx(1 - 1 / 2 * 3 / 4)
    assert induction_circuit.chance([2, 4], 0) == pytest.approx(1)


def test_both_methods_must_agree() -> None:
    one = cuts()
    one.gain_lost[1] = one.gain_lost[1][::-1]
    assert judged(one).verdict != "replicated"


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
