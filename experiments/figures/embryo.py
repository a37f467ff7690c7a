"""How the map of tokens by susceptibilities forms over training, beside the same map of Gaussian draws."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.not_measurable import NotMeasurable
from circuits import token_kinds
from experiments.figures.susceptibilities import CLASS_COLORS, SOURCES
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.jobs import runner
from experiments.measurements.susceptibilities import SUSCEPTIBILITIES, by_head, probe_classes, probe_rows
from experiments.plots import style
from experiments.plots.head_types import KIND_COLORS
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.runs.run import tokens_seen
from experiments.statistics.maps import aligned_maps
from experiments.statistics.maps.neighbours import together
from llc import token_map

TITLE = "Embryo"
CAPTION = (
    "Held-out tokens over training, each a vector of the heads' susceptibilities, standardised for each head and "
    "centred for each token, on a flat map (UMAP, aligned over checkpoints). Upper rows: the posterior, coloured by "
    "what a token looks like and by what it repeats or closes; lower rows: the same of Gaussian draws, without any "
    "influence of the loss. Above each map: of a token's 15 nearest neighbours in other rows of text, measured among "
    "the vectors themselves, the share that is of its kind, with its 95% confidence interval, and by chance. Maps "
    "show islands where there are none: look at the shares, and at what the lower rows show as well."
)
NEEDS: tuple[Kind, ...] = ()
SHOWN = 2000  # tokens on the maps; shares are of all
LABELS = {"class": "what it looks like", "kind": "what it repeats or closes"}


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples the susceptibilities at some checkpoints."""
    aligned_maps.check_installed()
    runner.run(cells.missing_tables([SUSCEPTIBILITIES]), executor, cells.run.name)


def compute(cells: Cells) -> xr.Dataset:
    """place [source, step, shown, axis] of the tokens on the maps, label [labels, shown]; share, low, high and chance
    [source, labels, step].
    """
    aligned_maps.check_installed()
    if cells.missing_tables([SUSCEPTIBILITIES]):
        raise NotMeasurable(f"susceptibilities of {cells.run.name} over training are not sampled yet: it takes long")
    found, rows = cells.table(SUSCEPTIBILITIES), probe_rows(cells.inputs)
    labels = {"class": probe_classes(cells.inputs), "kind": _kinds(cells)}
    row_of = np.repeat(np.arange(found.sizes["probe_row"]), found.sizes["predicted"])
    shown = np.sort(np.random.default_rng(0).permutation(len(row_of))[:SHOWN])
    places, shares = [], []
    for source in SOURCES:
        vectors = [
            token_map.standardised(by_head(found[source].isel(step=at)), centre_tokens=True).T
            for at in range(found.sizes["step"])
        ]
        places.append(np.stack(aligned_maps.aligned([one[shown] for one in vectors])))
        shares.append([[together(one, kinds, row_of) for one in vectors] for kinds in labels.values()])
    numbers = np.array(shares)  # [source, labels, step, number]
    data: dict = {
        name: (("source", "labels", "step"), numbers[..., at])
        for at, name in enumerate(("share", "low", "high", "chance"))
    }
    data["place"] = (("source", "step", "shown", "axis"), np.stack(places))
    data["label"] = (("labels", "shown"), np.stack([kinds[shown] for kinds in labels.values()]))
    coords = {"source": list(SOURCES.values()), "labels": list(labels), "step": found.step.values}
    attrs = {"nbeta": cells.plan.llc.nbeta, "rows": len(rows)}
    return xr.Dataset(data, coords, attrs).assign_coords(tokens=("step", tokens_seen(cells.run, found.step.values)))


def _kinds(cells: Cells) -> np.ndarray:
    """induction, bracket or quote, the first that a token is, else "none"."""
    kinds = cells.get(LABELLED_TOKENS, rows=len(probe_rows(cells.inputs)))
    names = token_kinds.KINDS[:3]
    inside = [kinds[name].values[:, 1:].ravel() for name in names]
    return np.select(inside, names, "none")


def draw(data: xr.Dataset) -> Figure:
    steps = data.sizes["step"]
    figure = style.new_figure(2.75 * steps + 0.3, 11.5)
    axes = figure.subplots(4, steps, squeeze=False)
    colors = {"class": CLASS_COLORS, "kind": KIND_COLORS}
    for row, (source, labels) in enumerate((source, labels) for source in range(2) for labels in LABELS):
        for number, axis in enumerate(axes[row]):
            _map(axis, data.isel(source=source, step=number).sel(labels=labels), colors[labels])
        nbeta = data.attrs["nbeta"] if source == 0 else 0
        axes[row, 0].set_ylabel(f"{data.source.values[source]}, nbeta {nbeta:g}\n{LABELS[labels]}", fontsize=style.FONT)
        handles, names = axes[row, -1].get_legend_handles_labels()
        look: dict = {"fontsize": style.FONT - 2, "frameon": False, "markerscale": 4, "loc": "upper left"}
        axes[row, -1].legend(handles[::-1], names[::-1], bbox_to_anchor=(1.0, 1.0), **look)
    for axis, tokens, step in zip(axes[0], data.tokens.values, data.step.values, strict=True):
        axis.set_title(f"step {step} ({tokens:.3g} million tokens)\n{axis.get_title()}", fontsize=style.FONT)
    return figure


def _map(axis: Axes, at: xr.Dataset, colors: dict[str, str]) -> None:
    places, label = at.place.values, at.label.values
    for name in [name for name in reversed(colors) if name in label]:
        inside = label == name
        axis.scatter(
            places[inside, 0], places[inside, 1], s=3, color=colors[name], linewidths=0, rasterized=True, label=name
        )
    share = f"{100 * float(at.share):.0f}% ({100 * float(at.low):.0f} to {100 * float(at.high):.0f})"
    axis.set_title(f"{share}, by chance {100 * float(at.chance):.0f}%", fontsize=style.FONT)
    axis.set_xticks([])
    axis.set_yticks([])
