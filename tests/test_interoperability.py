"""What comes out is read by the libraries that researchers have: arviz, pandas, xarray."""

from dataclasses import replace

import arviz_stats  # noqa: F401  registers the accessor `azstats`
import pandas as pd
import pytest
import torch
import xarray as xr

from llc import engine
from llc.estimate import learning_coefficient
from llc.settings import QUICK
from tests.conftest import make_model

SETTINGS = replace(QUICK, num_draws=40, num_burnin=10)


@pytest.fixture(scope="module")
def traces() -> dict[str, xr.Dataset]:
    model = make_model()
    tokens = torch.randint(0, model.cfg.d_vocab, (32, model.cfg.n_ctx), generator=torch.Generator().manual_seed(0))
    return engine.sample(model, tokens, ["L0H1", "L1H0"], settings=SETTINGS, seed=0)


def test_arviz_reads_a_trace_and_agrees(traces: dict[str, xr.Dataset]) -> None:
    trace = traces["L1H0"]
    kept = (trace.loss - trace.center_loss).isel(draw=slice(SETTINGS.num_burnin, None)).to_dataset(name="rise")
    found = learning_coefficient(trace)
    assert float(kept.azstats.rhat(method="split").rise) == pytest.approx(float(found.rhat), rel=1e-12)
    assert float(kept.azstats.ess(method="mean").rise) == pytest.approx(float(found.ess), rel=1e-12)
    by_chain_average = kept.mean("chain").expand_dims("chain").azstats.mcse(method="mean").rise
    assert SETTINGS.nbeta * float(by_chain_average) == pytest.approx(float(found.se), rel=1e-12)
    with_burnin = (trace.loss - trace.center_loss).to_dataset(name="rise")
    assert float(with_burnin.azstats.rhat(method="split").rise) != pytest.approx(float(found.rhat), rel=1e-3)


def test_traces_are_one_posterior_group(traces: dict[str, xr.Dataset]) -> None:
    joined = xr.concat([trace[["loss"]] for trace in traces.values()], pd.Index(list(traces), name="restriction"))
    tree = xr.DataTree.from_dict({"posterior": joined.transpose("chain", "draw", "restriction")})
    rhat = tree.azstats.rhat().loss
    assert rhat.dims == ("restriction",) and rhat.restriction.values.tolist() == ["L0H1", "L1H0"]


def test_pandas_has_one_row_a_draw(traces: dict[str, xr.Dataset]) -> None:
    frame = traces["L0H1"][["loss", "distance"]].to_dataframe()
    assert frame.index.names == ["chain", "draw"] and len(frame) == SETTINGS.num_chains * SETTINGS.num_draws
    assert frame.loc[(1, 5), "loss"] == float(traces["L0H1"].loss[1, 5])
