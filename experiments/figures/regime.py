"""In which regime the learning coefficients are, and whether their order depends on the gauge of the weights."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from experiments.jobs import runner
from experiments.measurements import over_nbeta, variants
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.rllc import RLLC
from experiments.measurements.variants import BALANCED, MAIN, RANDOM, RECALIBRATED, in_way
from experiments.plots import over_nbeta as plot_over_nbeta
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import TWO_SIDED
from experiments.study.study import Study
from llc import intervals

TITLE = "Regime and gauge"
CAPTION = (
    "Top, over training: kappa = d log rLLC / d log nbeta of every head (near 1: the rLLC measures sensitivity to "
    "noise; near 0: a plateau); the virial ratio (1: the chains have arrived; grey: within 2%); rank correlation, "
    "within a layer, of the rLLCs with the rise under plain Gaussian noise and with the trace of the Hessian. Middle, "
    "at the last checkpoint, over nbeta up to n / log n of the sampled rows: the rLLC of every head, without and with "
    "a control variate (which takes the noise of minibatches out of the gradient); its slope between neighbouring "
    "nbeta; and its share of what noise alone gives. Bottom: final rLLCs in the trained gauge, the balanced gauge, "
    "random gauges (up to 2x) and the recalibrated settings, each divided by its layer's mean: where lines cross, the "
    "order of the heads is no property of the function. All bars are 95% confidence intervals."
)

OVER = ("value", "half_width", "slope", "slope_se", "noise", "noise_half_width")  # over_nbeta_* in the data
NEEDS: tuple[Kind, ...] = (INDUCTION_HEADS,)
WAYS = {
    MAIN: "trained",
    BALANCED: "balanced",
    RANDOM[0]: "random 1",
    RANDOM[1]: "random 2",
    RECALIBRATED: "recalibrated",
}


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples what is missing."""

    chains = [job for way in WAYS for job in in_way(cells, way).missing_tables([RLLC])]
    runner.run(chains, executor, cells.run.name)
    variants.compute_curvature(cells, executor)
    over_nbeta.compute(cells, executor)


def compute(cells: Cells) -> xr.Dataset:
    """kappa, virial [step, restriction]; noise_rank, hessian_rank [step, layer]; final [way, restriction]; each but the
    ranks with the half width of its 95% interval (`_half`); and `over_nbeta.table`, its values as over_nbeta_*.
    """
    rllc, curvature = in_way(cells, MAIN).table(RLLC), Study((cells,)).curvature(cells)
    layers = sorted(set(rllc.layer.values.tolist()))
    data: dict = {
        name: (("step", "restriction"), values.values)
        for name, values in {
            "kappa": rllc.kappa,
            "kappa_half": TWO_SIDED * rllc.kappa_se,  # the error of few checks is widened already (diagnose.py)
            "virial": rllc.virial,
            "virial_half": intervals.half_width(rllc.virial_se, intervals.degrees_of(rllc)),
        }.items()
    }
    for name, other in (("noise_rank", rllc.noise_value), ("hessian_rank", curvature.hessian)):
        data[name] = (("step", "of_layer"), _ranks(rllc, other, layers))
    last = [intervals.with_half_widths(in_way(cells, way).table(RLLC).isel(step=-1)) for way in WAYS]
    for name, of in (("final", "value"), ("final_half", "half_width")):
        data[name] = (("way", "restriction"), np.stack([one[of].values for one in last]))
    coords = {"step": rllc.step, "restriction": rllc.restriction, "layer": rllc.layer, "of_layer": layers}
    over = over_nbeta.table(cells).rename({name: f"over_nbeta_{name}" for name in OVER})
    return xr.Dataset(
        data | dict(over), coords | {"way": list(WAYS.values())} | dict(over.coords), cells.table(INDUCTION_HEADS).attrs
    ).assign_coords(tokens=("step", tokens_seen(cells.run, rllc.step.values)))


def draw(data: xr.Dataset) -> Figure:
    layers = data.of_layer.values.tolist()
    figure = style.new_figure(13, 10.8)
    top, centre, bottom = figure.subfigures(3, 1, squeeze=False)[:, 0]  # each with margins of its own
    kappa, virial, ranks = top.subplots(1, 3)
    middle, below = centre.subplots(1, 3), bottom.subplots(1, len(layers), squeeze=False)[0]
    for axis, name, label in ((kappa, "kappa", "kappa"), (virial, "virial", "virial ratio")):
        _of_heads(axis, data, name)
        axis.set_ylabel(label, fontsize=style.FONT)
    kappa.set_ylim(-0.5, 1.6)  # an untrained model's is all noise
    kappa.axhline(0, color=style.QUIET, lw=0.8)
    kappa.axhline(1, color=style.QUIET, lw=0.8)
    virial.axhspan(0.98, 1.02, color=style.QUIET, alpha=0.3, lw=0)
    for layer in layers:
        color = style.COLORS[layer]
        at = data.sel(of_layer=layer)
        ranks.plot(data.tokens, at.noise_rank, color=color, marker="o", ms=3.5, label=f"layer {layer}, noise")
        ranks.plot(
            data.tokens, at.hessian_rank, color=color, marker="s", ms=3.5, ls="--", label=f"layer {layer}, Hessian"
        )
    ranks.set_ylim(-1.05, 1.05)
    ranks.set_ylabel("Spearman with the rLLCs of the layer", fontsize=style.FONT)
    ranks.legend(fontsize=style.FONT - 2, frameon=False, loc="lower right")
    for axis in (kappa, virial, ranks):
        style.token_axis(axis, data.tokens.values)
    over = data[[name for name in data if "nbeta" in data[name].dims]]
    over = over.rename({f"over_nbeta_{name}": name for name in OVER})
    plot_over_nbeta.draw(middle, over, data.layer.values)
    for axis, layer in zip(below, layers, strict=True):
        _gauges(axis, data.isel(restriction=(data.layer == layer).values.nonzero()[0]), layer)
    return figure


def _of_heads(axis: Axes, data: xr.Dataset, name: str) -> None:
    for layer in data.of_layer.values.tolist():
        part = data.isel(restriction=(data.layer == layer).values.nonzero()[0])
        for number in range(part.sizes["restriction"]):
            at = part.isel(restriction=number)
            axis.errorbar(
                data.tokens,
                at[name],
                at[f"{name}_half"],
                color=style.COLORS[layer],
                lw=0.8,
                elinewidth=0.5,
                alpha=0.7,
                label=f"heads of layer {layer}" if number == 0 else None,
            )
    axis.legend(fontsize=style.FONT - 2, frameon=False)


def _gauges(axis: Axes, part: xr.Dataset, layer: int) -> None:
    mean = part.final.mean("restriction")
    for number, name in enumerate(part.restriction.values.tolist()):
        at, role = part.isel(restriction=number), style.role(name, part.attrs)
        axis.errorbar(
            np.arange(part.sizes["way"]) + 0.02 * number,
            at.final / mean,
            at.final_half / abs(mean),
            color=style.COLORS[number % len(style.COLORS)],
            lw=2.2 if role else 1.1,
            marker="o",
            ms=3,
            elinewidth=0.9,
            label=f"{name} {role}".strip(),
        )
    axis.set_xticks(range(part.sizes["way"]), part.way.values, fontsize=style.FONT - 1)
    axis.set_ylabel("final rLLC / mean of the layer", fontsize=style.FONT)
    axis.set_title(f"Layer {layer}", fontsize=style.FONT + 1)
    style.tidy(axis)
    axis.legend(fontsize=style.FONT - 2, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _ranks(rllc: xr.Dataset, other: xr.DataArray, layers: list[int]) -> np.ndarray:
    """Spearman within each layer, step by step."""
    both = rllc.value.transpose("step", "restriction").values, other.transpose("step", "restriction").values
    inside = [rllc.layer.values == layer for layer in layers]
    return np.array([[stats.spearmanr(a[at], b[at]).statistic for at in inside] for a, b in zip(*both, strict=True)])
