"""Clusters of the heads' curves beside the heads' types, and how well the two agree by every way to cluster."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.not_measurable import NotMeasurable
from experiments.heldout import head_types
from experiments.measurements import variants
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.variants import MAIN
from experiments.plots import style
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import Run, tokens_seen
from experiments.study import curve_clusters
from experiments.study.curve_clusters import METHODS, SCALINGS, Group
from experiments.study.study import Study, pass_of_types

TITLE = "Clusters of learning coefficients and types of heads"
CAPTION = (
    "Left: rLLC of each head over training, coloured by the cluster that k-means finds among the layer's raw curves "
    "(as many clusters as types), with the head's type as marker; bars are 95% confidence intervals, inactive heads "
    "are left out. Right: the adjusted Rand index of clusters with types (1: the same, 0: by chance), mean over the "
    "layers that have two types with two heads, with the p-value under types permuted within the layer. Look whether "
    "a colour is a type."
)
NEEDS: tuple[Kind, ...] = (INDUCTION_HEADS,)  # kinds of cells; the rLLCs and types are computed, or read, by `prepare`
MARKERS = dict(
    zip(
        ("previous-token", "current-token", "induction", "multigram", "bracket", "quote", "mixed", "suppression"),
        ("<", "s", "^", "o", "D", "P", "X", "v"),
        strict=True,
    )
)
LINES = ("-", "--", ":", "-.")


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples and surveys what is missing."""

    variants.compute_ways(cells, (MAIN,), executor)
    head_types.compute(cells, pass_of_types(cells), executor)


def compute(cells: Cells) -> xr.Dataset:
    """value, se, half_width [step, restriction] and type, cluster [restriction] of the active heads; index, p [method,
    scaling], NaN where no layer has two types with two heads.
    """
    study = Study((cells,))
    return of_groups(curve_clusters.groups(study, cells), study.rllc(cells), cells.run)


def of_groups(groups: list[Group], rllc: xr.Dataset, run: Run) -> xr.Dataset:
    """Groups of one run, and the table that their curves are from. Raises ValueError where no head is active."""
    groups = [group for group in groups if len(group.names)]
    if not groups:
        raise NotMeasurable(
            f"all heads of {run.name} are inactive: there are no curves to cluster, use a later checkpoint"
        )
    names = [name for group in groups for name in group.names]
    data = rllc[["value", "se", "half_width"]].sel(restriction=names).transpose("step", "restriction")
    clusters = [curve_clusters.clusters(group) for group in groups]
    data["cluster"] = ("restriction", np.concatenate(clusters))
    data["type"] = ("restriction", np.concatenate([group.types for group in groups]))
    usable = [group for group in groups if group.testable]
    indices = curve_clusters.table(usable) if usable else {}
    for label, part in (("index", "mean"), ("p", "p")):
        values = [[indices[m][s][part] if indices else float("nan") for s in SCALINGS] for m in METHODS]
        data[label] = (("method", "scaling"), np.array(values))
    tested = [f"layer {group.layer}" for group in usable]
    coords = {"method": list(METHODS), "scaling": list(SCALINGS)}
    data = data.assign_coords(coords | {"tokens": ("step", tokens_seen(run, data.step.values))})
    return data.assign_attrs(tested=", ".join(tested), run=run.name)


def draw(data: xr.Dataset) -> Figure:
    layers = np.unique(data.layer.values).tolist()
    figure = style.new_figure(4.6 * len(layers) + 4.2, 4.6)
    axes = figure.subplots(1, len(layers) + 1, width_ratios=[*[4.4] * len(layers), 3.6])
    for axis, layer in zip(axes[:-1], layers, strict=True):
        part = data.isel(restriction=(data.layer.values == layer).nonzero()[0])
        _curves(axis, part)
        axis.set_title(f"Layer {layer}, {len(np.unique(part.cluster))} clusters", fontsize=style.FONT + 1)
    axes[0].set_ylabel("rLLC of the head", fontsize=style.FONT)
    _agreement(axes[-1], data)
    return figure


def _curves(axis: Axes, part: xr.Dataset) -> None:
    """One curve a head, in the order of its cluster; its legend says the type."""
    tokens, within = part.tokens.values, dict.fromkeys(part.cluster.values.tolist(), 0)
    for number in np.argsort(part.cluster.values, kind="stable").tolist():
        head = part.isel(restriction=number)
        cluster, kind = int(head.cluster), str(head.type.item())
        axis.errorbar(
            tokens,
            head.value,
            head.half_width,
            color=style.COLORS[cluster % len(style.COLORS)],
            linestyle=LINES[within[cluster] % len(LINES)],
            linewidth=1.3,
            marker=MARKERS[kind],
            markersize=5,
            markerfacecolor="white",
            elinewidth=0.9,
            label=f"{head.restriction.item()} {kind}",
        )
        within[cluster] += 1
    style.token_axis(axis, tokens)
    axis.set_ylim(bottom=min(0.0, float((part.value - part.half_width).min())))
    below: dict = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncol": 2, "handlelength": 3.2}
    axis.legend(fontsize=style.FONT - 2, frameon=False, **below)


def _agreement(axis: Axes, data: xr.Dataset) -> None:
    """White is chance, blue is agreement; one number and its p-value a cell."""
    methods, scalings = data.method.values.tolist(), data.scaling.values.tolist()
    axis.set_title("Adjusted Rand index with types", fontsize=style.FONT + 1)
    axis.imshow(data["index"].values, cmap="RdBu", vmin=-1, vmax=1, aspect="equal")
    axis.set_xticks(range(len(scalings)), scalings, fontsize=style.FONT - 1)
    axis.set_yticks(range(len(methods)), methods, fontsize=style.FONT - 1)
    for row, method in enumerate(methods):
        for column, scaling in enumerate(scalings):
            value, p = (float(data[name].sel({"method": method, "scaling": scaling})) for name in ("index", "p"))
            said = "not\ntestable" if np.isnan(value) else f"{value:.2f}\n{_probability(p)}"
            color = "white" if abs(value) > 0.6 else "black"
            axis.text(column, row, said, ha="center", va="center", fontsize=style.FONT, color=color)
    tested = data.attrs["tested"]
    axis.set_xlabel(f"scaling of the curves\n(mean over {tested})" if tested else "no layer is testable", fontsize=9)
    axis.set_ylabel("clusters by", fontsize=style.FONT)
    axis.tick_params(length=0)


def _probability(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
