"""A map of tokens by the heads' susceptibilities: components, the heads that make them, the tokens they part."""

from concurrent.futures import Executor

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.not_measurable import NotMeasurable
from circuits import mining, token_classes, token_kinds
from experiments.corpora.corpus import Corpus
from experiments.heldout import head_types, labelled_tokens
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.heldout.text_multigrams import as_patterns
from experiments.jobs import runner
from experiments.jobs.job import Job
from experiments.measurements.susceptibilities import (
    SUSCEPTIBILITIES,
    by_head,
    probe_classes,
    probe_rows,
    rank_correlations,
)
from experiments.plots import style
from experiments.plots.head_types import KIND_COLORS
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.statistics.maps.separability import separability
from experiments.study.study import Study, pass_of_types
from llc import token_map

TITLE = "Susceptibilities"
CAPTION = (
    "Held-out tokens at the last checkpoint, each a vector of the heads' susceptibilities (minus the covariance of a "
    "head's loss with the token's: negative, the head expresses it), standardised for each head. Top: the first two "
    "principal components, coloured by what a token looks like and by what it repeats, closes or completes; beside "
    "them the same map of Gaussian draws, without any influence of the loss (nbeta 0). Axes are linear near 0 and "
    "logarithmic beyond. Bottom left: loadings of the heads on the first three components, with their types (small "
    "marks: from one half of the chains and draws, and from the other; open: Gaussian draws), and how well the halves "
    "agree (rank correlations over tokens), and the whole with Gaussian draws. Bottom right: d', by how many standard "
    "deviations tokens of a kind differ from all others along a component, with 95% confidence intervals over rows of "
    "text. Look first whether the halves agree, then for what the open marks do not show as well."
)
NEEDS: tuple[Kind, ...] = ()
COMPONENTS = 3
SOURCES = {"value": "posterior", "noise": "Gaussian draws"}
CLASS_COLORS = dict(
    zip(token_classes.CLASSES, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"), strict=True)
)


def prepare(cells: Cells, executor: Executor) -> None:
    """Samples the susceptibilities, and computes the types that they are held against."""
    runner.run(_missing(cells), executor, cells.run.name)
    head_types.compute(cells, pass_of_types(cells), executor)


def _missing(cells: Cells) -> list[Job]:
    return cells.missing_tables([SUSCEPTIBILITIES], steps=cells.run.steps[-1:])


def compute(cells: Cells) -> xr.Dataset:
    """loadings [source, component, restriction], half_loadings [.., part], share [source, component] of the variance,
    score [source, component, token]; is_label [label, token]; d_prime and its low and high [source, component, label];
    halves [source, restriction] and with_noise [restriction], rank correlations over tokens; type [restriction].
    """
    if _missing(cells):
        raise NotMeasurable(f"susceptibilities of {cells.run.name} are not sampled yet, which takes minutes")
    found = cells.assembled(SUSCEPTIBILITIES).isel(step=-1)
    rows, types = probe_rows(cells.inputs), Study((cells,)).types(cells)
    labels = _labels(cells, rows, types)
    names = found.restriction.values.tolist()
    whole = token_map.components(token_map.standardised(by_head(found["value"])), COMPONENTS)
    parts: dict[str, list] = {name: [] for name in ("loadings", "half_loadings", "share", "score", "halves")}
    for source in SOURCES:
        both = [by_head(found["half" if source == "value" else "noise_half"].isel(part=part)) for part in (0, 1)]
        at = token_map.matched(token_map.standardised(by_head(found[source])), whole)
        parts["loadings"].append(at.loadings)
        parts["share"].append(at.shares)
        parts["score"].append(at.scores)
        of_halves = [token_map.matched(token_map.standardised(half), at).loadings for half in both]
        parts["half_loadings"].append(np.stack(of_halves, -1))
        parts["halves"].append(rank_correlations(*both))
    dims = {
        "loadings": ("source", "component", "restriction"),
        "half_loadings": ("source", "component", "restriction", "part"),
        "share": ("source", "component"),
        "score": ("source", "component", "token"),
        "halves": ("source", "restriction"),
    }
    data: dict = {name: (dims[name], np.stack(values)) for name, values in parts.items()}
    row_of = np.repeat(np.arange(found.sizes["probe_row"]), found.sizes["predicted"])
    apart = np.array(
        [[[separability(score, inside, row_of) for inside in labels.values()] for score in scores]
         for scores in parts["score"]]
    )  # fmt: skip
    for place, name in enumerate(("d_prime", "low", "high")):
        data[name] = (("source", "component", "label"), apart[..., place])
    data["is_label"] = (("label", "token"), np.stack(list(labels.values())))
    data["with_noise"] = ("restriction", rank_correlations(by_head(found["value"]), by_head(found["noise"])))
    data["type"] = ("restriction", types.type.sel(restriction=names).values)
    coords = {"source": list(SOURCES.values()), "restriction": names, "label": list(labels)}
    return xr.Dataset(data, coords, {"nbeta": cells.plan.llc.nbeta})


def _labels(cells: Cells, rows: Corpus, types: xr.Dataset) -> dict[str, np.ndarray]:
    """Whether each predicted token is of each class, and of each kind."""
    classes, kinds = probe_classes(cells.inputs), cells.get(LABELLED_TOKENS, rows=len(rows))
    of_text, patterns = labelled_tokens.text(rows), as_patterns(types)
    numbers, places = mining.completions(of_text, patterns, cells.inputs.d_vocab)
    of_kind = {kind: kinds[kind].values for kind in token_kinds.KINDS[:3]}
    for kind, contiguous in (("n-gram", True), ("skip n-gram", False)):
        completed = np.zeros(of_text.tokens.shape, dtype=bool)
        completed.ravel()[places[patterns.contiguous[numbers] == contiguous]] = True
        of_kind[kind] = completed
    found = {name: classes == name for name in token_classes.CLASSES}
    return found | {kind: inside[:, 1:].ravel() for kind, inside in of_kind.items()}


def draw(data: xr.Dataset) -> Figure:
    figure = style.new_figure(13.5, 10.4)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.15])[:, 0]
    maps = top.subplots(1, 3)
    posterior, noise = data.isel(source=0), data.isel(source=1)
    by_class = {name: CLASS_COLORS[name] for name in token_classes.CLASSES}
    by_kind = {"none of these": KIND_COLORS["none"]} | {name: KIND_COLORS[name] for name in token_kinds.KINDS}
    titles = (f"posterior, nbeta {data.attrs['nbeta']:g}", "Gaussian draws, nbeta 0")
    for axis, part, colors, title in (
        (maps[0], posterior, by_class, titles[0]),
        (maps[1], noise, by_class, titles[1]),
        (maps[2], posterior, by_kind, titles[0]),
    ):
        _map(axis, part, colors)
        axis.set_title(title, fontsize=style.FONT + 1)
    left, right = bottom.subfigures(1, 2, squeeze=False, width_ratios=[1.75, 1])[0]
    _heads(left.subplots(1, COMPONENTS + 1, sharey=True), data)
    _kinds(right.subplots(1, 1), data)
    return figure


def _map(axis: Axes, part: xr.Dataset, colors: dict[str, str]) -> None:
    """The tokens on the first two components, in units of their standard deviation; later labels lie on top."""
    score = (part.score / part.score.std("token")).values
    left = np.ones(part.sizes["token"], dtype=bool)
    for name, color in reversed(colors.items()):
        inside = left if name not in part.label.values else left & part.is_label.sel(label=name).values
        left = left & ~inside
        axis.scatter(
            score[0, inside], score[1, inside], s=3, color=color, alpha=0.5, linewidths=0, rasterized=True, label=name
        )
    axis.set_xscale("asinh", linear_width=1.0)
    axis.set_yscale("asinh", linear_width=1.0)
    reach = 1.1 * abs(score[:2]).max(1)
    for which, set_limits, set_ticks, set_label in (
        (0, axis.set_xlim, axis.set_xticks, axis.set_xlabel),
        (1, axis.set_ylim, axis.set_yticks, axis.set_ylabel),
    ):
        set_limits(-reach[which], reach[which])
        ticks = [tick for tick in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if abs(tick) < reach[which]]
        set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        set_ticks([], minor=True)
        share = 100 * float(part.share[which])
        set_label(f"component {which + 1} ({share:.0f}% of variance)", fontsize=style.FONT)
    style.tidy(axis)
    handles, names = axis.get_legend_handles_labels()
    look: dict = {"fontsize": style.FONT - 2, "frameon": False, "markerscale": 3, "loc": "upper center"}
    axis.legend(handles[::-1], names[::-1], ncol=3, bbox_to_anchor=(0.5, -0.14), **look)


def _heads(axes: np.ndarray, data: xr.Dataset) -> None:
    """Loadings of the heads from top to bottom, and how well their values are known."""
    names, rows = data.restriction.values.tolist(), np.arange(data.sizes["restriction"])
    for component in range(data.sizes["component"]):
        axis, at = axes[component], data.isel(component=component)
        color = style.COLORS[component]
        axis.axvline(0, color=style.QUIET, lw=0.8)
        for part, marker in ((0, "|"), (1, "|")):
            axis.plot(at.half_loadings.isel(source=0, part=part), rows, marker, color=color, ms=7, mew=0.9)
        axis.plot(at.loadings.isel(source=0), rows, "o", color=color, ms=5)
        axis.plot(at.loadings.isel(source=1), rows, "o", mfc="none", color=color, ms=7, mew=0.9)
        axis.set_xlabel(f"loading on\ncomponent {component + 1}", fontsize=style.FONT)
        axis.set_xlim(-1, 1)
    known = axes[-1]
    for values, marker, color, label in (
        (data.halves.isel(source=0), "o", "black", "halves, posterior"),
        (data.halves.isel(source=1), "s", style.COLORS[7], "halves, Gaussian"),
        (data.with_noise, "^", style.COLORS[4], "posterior with Gaussian"),
    ):
        known.plot(values, rows, marker, color=color, ms=4.5, label=label)
    known.set_xlim(-0.1, 1.04)
    known.set_xlabel("rank correlation\nover tokens", fontsize=style.FONT)
    known.legend(fontsize=style.FONT - 2.5, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    labels = [f"{name}  {kind}" for name, kind in zip(names, data.type.values.tolist(), strict=True)]
    axes[0].set_yticks(rows, labels, fontsize=style.FONT - 1)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    for axis in axes:
        style.tidy(axis)
        axis.grid(axis="y", color="#EEEEEE", lw=0.6)
        axis.set_axisbelow(True)


def _kinds(axis: Axes, data: xr.Dataset) -> None:
    """d' of every label, components beside each other."""
    shown = data.isel(label=np.flatnonzero(np.isfinite(data.d_prime.values).any((0, 1))))
    rows = np.arange(shown.sizes["label"])
    axis.axvline(0, color=style.QUIET, lw=0.8)
    for component in range(shown.sizes["component"]):
        color, at = style.COLORS[component], shown.isel(component=component)
        for source in range(shown.sizes["source"]):
            one = at.isel(source=source)
            error = np.stack([one.d_prime - one.low, one.high - one.d_prime]).clip(0)
            label = f"component {component + 1}" if source == 0 else None
            face = color if source == 0 else "white"
            height = rows + 0.24 * (component - 1) + 0.09 * source
            look: dict = {"ms": 4 - source, "mfc": face, "color": color, "elinewidth": 0.8, "label": label}
            axis.errorbar(one.d_prime, height, xerr=np.nan_to_num(error), fmt="o", **look)
    counts = shown.is_label.sum("token").values
    names = [f"{name} ({count})" for name, count in zip(shown.label.values, counts, strict=True)]
    axis.set_yticks(rows, names, fontsize=style.FONT - 1)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel("d' from all other tokens (open: Gaussian draws)", fontsize=style.FONT)
    axis.legend(fontsize=style.FONT - 2, frameon=False, ncol=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    style.tidy(axis)
