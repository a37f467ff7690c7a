"""The bundled models are what the model card says."""

import pytest
import torch

from ablations import forward
from benchmarks.zoo_gate import bars, bars_of
from experiments import runs
from experiments.cli.arguments import DEFAULT_RUN

BUNDLED = sorted(folder.parent.name for folder in runs.ZOO.glob("*/config.json"))


def test_the_default_run_and_its_reference_are_bundled() -> None:
    assert {DEFAULT_RUN, f"{DEFAULT_RUN}-1layer"} <= set(BUNDLED)
    assert sum(file.stat().st_size for file in runs.ZOO.rglob("*")) < 60e6


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_runs_open_and_run_as_pure_functions(name: str) -> None:
    run = runs.open_run(name)
    assert run.tokenizer.get_vocab_size() == run.config["model"]["d_vocab"]
    model = run.model(run.steps[-1])
    tokens = torch.randint(model.cfg.d_vocab, (2, 64), generator=torch.Generator().manual_seed(0))
    ours = forward.logits(forward.weights_of(model), model.cfg, tokens)
    torch.testing.assert_close(ours, model(tokens), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED)
def test_two_layers_clear_the_gate_and_one_does_not(name: str) -> None:
    """Needs the python corpus, which takes about a minute to build."""
    measured = bars_of(runs.open_run(name))
    if name.endswith("1layer"):
        # on text a bag of recent tokens is cheaper to predict, induction or not: that bar alone tells little
        assert [bar.name for bar in measured if bar.met] in ([], ["copy gain on repeated held-out text (nats)"])
    else:
        assert [bar for bar in measured if not bar.met] == []


def test_the_gate_wants_every_bar() -> None:
    previous, matching = {(0, 0): 0.4, (0, 1): 0.1}, {(1, 0): 0.3, (1, 1): 0.25, (0, 0): 0.9}
    assert all(bar.met for bar in bars(previous, matching, 1.2, 1.0))
    assert [bar.met for bar in bars({(0, 0): 0.2}, {(0, 0): 0.9}, 0.1, 0.9)] == [False] * 5
