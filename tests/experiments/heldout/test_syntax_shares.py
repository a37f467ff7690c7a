"""Shares of syntax tokens on planted effects, and the pass over code that they rest on."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import runs
from experiments.heldout import ablation_pass, syntax_shares
from experiments.heldout.ablation_pass import AblationPass
from experiments.results import plan
from experiments.results.cells import Cells


@pytest.fixture
def cells(tmp_path: Path) -> Cells:
    return Cells(tmp_path, runs.open_run("mini-seed0"), plan.default_plan("python", 256))


def test_the_pass_is_of_the_last_layer_on_code_alone(cells: Cells, tmp_path: Path) -> None:
    asked = syntax_shares.asked(cells)
    assert asked.what == tuple(f"L1H{head}" for head in range(8))
    assert (asked.step, asked.method, asked.keep) == (28000, "mean", True)
    assert asked.tokens == min(syntax_shares.TOKENS, syntax_shares.cells_on_code(cells).inputs.free_tokens)
    jobs = syntax_shares.missing(cells)
    assert jobs and {job.arguments[2].corpus for job in jobs} == {"python:code"}
    assert cells.plan.corpus == "python" and not list(tmp_path.iterdir())


def test_the_share_is_of_the_tokens_that_a_head_affects_most(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = cells.run.tokenizer.decode
    texts = [decode([token], skip_special_tokens=False).strip() for token in range(1024)]
    syntax = [token for token, text in enumerate(texts) if not any(c.isalnum() for c in text)]
    word = next(token for token, text in enumerate(texts) if text.isalpha())
    target = np.where(np.arange(2000) % 2, word, syntax[0])
    effect = np.zeros((3, 2000))
    effect[0, :200] = 1.0  # of each kind as many
    effect[1] = target == syntax[0]
    effect[2] = target == word

    def kept(cells: Cells, ablation: AblationPass) -> xr.Dataset:
        return xr.Dataset(
            {"effect": (("change", "token"), effect), "target": ("token", target)}, {"change": ["L1H0", "L1H1", "L1H2"]}
        )

    monkeypatch.setattr(ablation_pass, "kept", kept)
    given = syntax_shares.parameters(cells)
    found = syntax_shares.measure(cells.inputs, 28000, cells, **given)
    assert found.restriction.values.tolist() == ["L1H0", "L1H1", "L1H2"]
    assert found.share.values.tolist() == [0.5, 1.0, 0.0]
