"""Other measures of the heads over training, beside the learning coefficient."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.measurements import variants
from experiments.measurements.ablations import ABLATIONS
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.variants import MAIN
from experiments.plots import end_labels, style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import margin, reach
from experiments.study.study import Study

TITLE = "Other measures"
CAPTION = (
    "Per head over training, one row a layer: rLLC; rise of the loss under Gaussian noise of variance 1/localization, "
    "times nbeta; traces of the Hessian and of the Fisher information of the head's parameters; loss rise under mean "
    "ablation of the head, on 32 rows of held-out text (of types and cards it is on 500,000 tokens); Frobenius norm "
    "of its weights. Bars are 95% confidence intervals; heads of the induction circuit are in colour. Look how alike "
    "the first four are: at these settings an rLLC is mostly a sensitivity to noise."
)

NEEDS: tuple[Kind, ...] = (ABLATIONS, INDUCTION_HEADS)
MEASURES = {
    "rllc": "rLLC",
    "noise": "noise sensitivity\n(nbeta x nats)",
    "hessian": "Hessian trace\n(nats per token)",
    "fisher": "Fisher trace\n(nats per token)",
    "ablation": "loss rise, mean ablation\n(nats per token)",
    "weight_norm": "norm of the weights\n(Frobenius)",
}


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples what is missing."""

    variants.compute_ways(cells, (MAIN,), executor)
    variants.compute_curvature(cells, executor)


def compute(cells: Cells) -> xr.Dataset:
    """Each measure and half its 95% interval (`_half`) [step, restriction]; the norm has none."""
    curvature = Study((cells,)).curvature(cells)
    rllc = variants.coefficients(cells, MAIN).sel(step=curvature.step)
    effects = cells.table(ABLATIONS).sel({"method": "mean", "step": rllc.step})
    data = {"rllc": rllc.value, "rllc_half": rllc.half_width}
    data |= {"noise": rllc.noise_value, "noise_half": rllc.noise_half_width, "weight_norm": curvature.weight_norm}
    data |= {"ablation": effects.effect, "ablation_half": margin(effects, "effect")}
    for name in ("hessian", "fisher"):  # errors over rows of text, each with a probe of its own
        data |= {name: curvature[name], f"{name}_half": reach(curvature.attrs["rows"] - 1) * curvature[f"{name}_se"]}
    plain = {
        name: (("step", "restriction"), values.transpose("step", "restriction").values) for name, values in data.items()
    }
    coords = {"step": rllc.step, "restriction": rllc.restriction, "layer": rllc.layer}
    return xr.Dataset(plain, coords, cells.table(INDUCTION_HEADS).attrs).assign_coords(
        tokens=("step", tokens_seen(cells.run, rllc.step.values))
    )


def draw(data: xr.Dataset) -> Figure:
    layers = sorted(set(data.layer.values.tolist()))
    figure = style.new_figure(15.5, 3.1 * len(layers))
    for row, layer in zip(figure.subplots(len(layers), len(MEASURES), squeeze=False), layers, strict=True):
        part = data.isel(restriction=(data.layer == layer).values.nonzero()[0])
        for axis, (name, label) in zip(row, MEASURES.items(), strict=True):
            half = part[f"{name}_half"] if f"{name}_half" in part else xr.zeros_like(part[name])
            named = style.named_by_role(part.restriction.values.tolist(), data.attrs)
            style.head_curves(axis, part[name], half, data.tokens.values, named)
            style.token_axis(axis, data.tokens.values)
            axis.set_title(label, fontsize=style.FONT)
            axis.set_ylim(bottom=min(0.0, float(np.nanmin(part[name]))))
        row[0].set_ylabel(f"Layer {layer}", fontsize=style.FONT + 1)
        end_labels.write(row[-1])
    return figure
