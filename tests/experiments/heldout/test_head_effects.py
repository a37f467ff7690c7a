"""The effect of a head: what it is a mean over, and the error of the difference of two."""

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest

from ablations.effects import ClusterSums, Estimate, estimates
from experiments import runs
from experiments.cli import ablate
from experiments.heldout import ablation_pass, head_effects, head_types
from experiments.results.cells import Cells
from experiments.results.plan import default_plan

HEADS = ("L0H1", "L1H2")


def sums_of(effects: np.ndarray, documents: np.ndarray) -> ClusterSums:
    names, index = np.unique(documents, return_inverse=True)
    sums = np.stack([np.bincount(index, weights=row) for row in effects])
    return ClusterSums(names, sums, np.bincount(index).astype(float))


@pytest.fixture
def cells(trained: Path, tmp_path: Path) -> Cells:
    run = runs.open_run(trained / "runs/tiny-seed0")
    return Cells(tmp_path, run, default_plan(run.config["preset"]["corpus"], 64))


@pytest.mark.parametrize("common_share", [0.0, 0.7, 1.0])
def test_the_error_of_a_difference_is_that_of_paired_documents(
    cells: Cells, common_share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the short pass is the whole text, it is the clustered error of the differences token by token."""
    rng = np.random.default_rng(0)
    documents = np.repeat(np.arange(30), rng.integers(5, 60, 30))
    common, own = rng.normal(size=(30,))[documents], rng.normal(size=(2, 30))[:, documents]
    effects = 0.3 + common_share * common + (1 - common_share) * own + 0.1 * rng.normal(size=own.shape)
    sums = sums_of(effects, documents)
    monkeypatch.setattr(ablation_pass, "sums", lambda cells, ablation: sums)
    asked = ablation_pass.AblationPass(HEADS, 60, 1000, "mean")
    pair = tuple(estimates(sums))
    found = head_effects.difference(cells, asked, HEADS, (pair[0], pair[1]))
    paired = estimates(sums_of(effects[:1] - effects[1:], documents))[0]
    assert found.value == pytest.approx(paired.value, abs=1e-12) and found.se == pytest.approx(paired.se, abs=1e-9)
    independent = float(np.hypot(pair[0].se, pair[1].se))
    if common_share:
        assert found.se < 0.8 * independent, "negative control: as if the two were of different texts"
    assert head_effects.difference(cells, asked, ("L0H1", "L0H1"), (pair[0], pair[0])) == Estimate(
        0.0, 0.0, pair[0].degrees
    )


def test_sums_of_a_pass_give_its_means(cells: Cells) -> None:
    asked = ablation_pass.check(ablation_pass.AblationPass(HEADS, 60, 600, "mean"), cells.inputs)
    means = ablation_pass.means(cells, asked)
    *of_heads, _ = estimates(ablation_pass.sums(cells, asked))
    assert head_effects.of_heads(means) == dict(zip(HEADS, of_heads, strict=True))
    words = head_effects.population(means)
    assert words == f"all {means.attrs['tokens']} predicted tokens of {means.attrs['documents']} held-out documents"
    assert head_effects.NAME in head_effects.graph_words(means) and words in head_effects.graph_words(means)


def test_ablate_takes_the_text_of_types_by_default() -> None:
    parser = ArgumentParser()
    ablate.add_arguments(parser)
    assert parser.parse_args(["L1H4"]).default_tokens == head_types.TOKENS
