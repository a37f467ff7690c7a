"""The effects of every path as a table [source, target, via] and its heat maps."""

from collections.abc import Collection

import xarray as xr
from matplotlib.figure import Figure

from ablations.models import Config
from ablations.names import Head, all_heads
from ablations.paths import OUTPUT, VIAS, Path, all_paths, ends, parse_path, path_name, paths_of
from experiments.plots import style


def every_path(cfg: Config, of: Collection[Head] = ()) -> tuple[str, ...]:
    """All paths between heads, and from heads to the output, by name; of: those from and into these heads alone."""
    paths = [*all_paths(cfg), *(Path(head, OUTPUT) for head in all_heads(cfg))]
    return tuple(map(path_name, paths_of(of, paths)))


def table(effects: xr.Dataset) -> xr.Dataset:
    """effect, effect_se, effect_degrees [change] with each change's source, target and via (empty for the output)."""
    paths = [parse_path(name) for name in effects.change.values.tolist()]
    columns = {
        "source": [ends(path)[0] for path in paths],
        "target": [ends(path)[1] for path in paths],
        "via": [path.via or "" for path in paths],
    }
    return effects[["effect", "effect_se", "effect_degrees"]].assign_coords(
        {name: ("change", column) for name, column in columns.items()}
    )


def draw(paths: xr.Dataset) -> Figure:
    """One heat map for each input of the targets, and one column for the output."""
    sources = list(dict.fromkeys(paths.source.values.tolist()))
    targets = [name for name in dict.fromkeys(paths.target.values.tolist()) if name != OUTPUT]
    between = [name for name in sources if name in set(paths.source.values[paths.target.values != OUTPUT].tolist())]
    limit = float(abs(paths.effect).max())
    figure = style.new_figure(12.0, 4.4)
    axes = figure.subplots(1, 4, width_ratios=(len(targets),) * 3 + (2,))
    for axis, via in zip(axes[:3], VIAS, strict=True):
        values = _matrix(paths, between, targets, via)
        image = style.pair_heatmap(axis, values.values, between, targets, limit)
        axis.set_title(f"path through {style.VIA_NAMES[via]}", fontsize=style.FONT + 1)
    style.pair_heatmap(axes[3], _matrix(paths, sources, [OUTPUT], "").values, sources, [OUTPUT], limit)
    axes[3].set_title("to the output", fontsize=style.FONT + 1)
    axes[0].set_ylabel("from (source head)", fontsize=style.FONT)
    axes[1].set_xlabel("into (target head)", fontsize=style.FONT)
    figure.colorbar(image, ax=axes.tolist(), label="loss rise when cut (nats per token)", shrink=0.85)
    return figure


def _matrix(paths: xr.Dataset, sources: list[str], targets: list[str], via: str) -> xr.DataArray:
    chosen = paths.effect[(paths.via == via).values]
    return chosen.set_index(change=["source", "target"]).unstack("change").reindex(source=sources, target=targets)
