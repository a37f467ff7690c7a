"""A head and the heads of other layers: how much their weights match, and what the paths between them carry."""

import numpy as np
import pandas as pd
import xarray as xr

from ablations.names import Head, all_heads, head_name, parse_head
from ablations.not_measurable import NotMeasurable
from ablations.paths import OUTPUT, VIAS, Path, ends, parse_path, path_name
from circuits import composition as scores
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.investigate.snapshot import Snapshot
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.paths import PATHS

PATH_TOKENS, FEW = 30_000, 25  # of held-out text on which so many paths are cut: the more there are, the fewer tokens,
FEWEST_TOKENS = 5_000  # but these


def composition(snapshot: Snapshot, name: str) -> pd.DataFrame:
    """One row for each input (via) of the pairs that the head is in: source, target, via, score, baseline, sds.

    score: as the cells have it; baseline: of the same two matrices turned against each other at random; sds: how many
    standard deviations of that the squared score is above its mean. Raises NotMeasurable for a model of one layer.
    """
    measured = snapshot.cells.get(COMPOSITION, snapshot.step)
    mean, sd = scores.spectral_baseline(snapshot.weights, snapshot.cfg)
    rows = []
    for source, target in _pairs(snapshot, name):
        for number, via in enumerate(VIAS):
            at = {"source": head_name(source), "target": head_name(target), "via": via}
            score = float(measured.composition.sel(at))
            sds = (score**2 - float(mean)) / float(sd[(*source, *target, number)])
            rows.append({**at, "score": score, "baseline": float(mean) ** 0.5, "sds": sds})
    return pd.DataFrame(rows)


def path_pass(snapshot: Snapshot, name: str) -> AblationPass:
    """Every path between the head and another, and the head's to the output, cut by itself: the more there are, the
    fewer tokens. Raises NotMeasurable where the model or the text does not allow it.
    """
    paths = [Path(source, target, via) for source, target in _pairs(snapshot, name) for via in VIAS]
    paths.append(Path(parse_head(name), OUTPUT))
    wanted = max(FEWEST_TOKENS, PATH_TOKENS * FEW // len(paths))
    tokens = min(wanted, PATH_TOKENS, snapshot.cells.inputs.free_tokens)
    ablation = AblationPass(tuple(map(path_name, paths)), snapshot.step, tokens, "mean")
    return ablation_pass.check(ablation, snapshot.cells.inputs)


def paths(snapshot: Snapshot, name: str) -> pd.DataFrame:
    """One row for each path: source, target, via, effect, copy_gain, with their _se and _degrees.

    effect: loss rise on held-out text when the path is cut (mean ablation of what it carries, layer norm
    recomputed); copy_gain: how much of the copy gain on repeated random tokens that removes (NaN for the path to the
    output, which is not measured); nats per token.
    """
    ablation = path_pass(snapshot, name)
    means = ablation_pass.means(snapshot.cells, ablation)
    copying = snapshot.cells.get(PATHS, snapshot.step, **snapshot.copying)
    rows = []
    for change in ablation.what:
        path, at = parse_path(change), means.sel(change=change)
        source, target = ends(path)
        named = {"source": source, "target": target, "via": path.via or ""}
        gain = copying.sel(named) if path.via else xr.full_like(at, np.nan)
        rows.append({**named, **_costs("effect", at), **_costs("copy_gain", gain)})
    return pd.DataFrame(rows)


def _costs(name: str, measured: xr.Dataset) -> dict[str, float]:
    """What cutting a path costs, with its error, under another name."""
    return {f"{name}{end}": float(measured[f"effect{end}"]) for end in ("", "_se", "_degrees")}


def _pairs(snapshot: Snapshot, name: str) -> list[tuple[Head, Head]]:
    """The pairs of the head with every head of an earlier layer as source, and of a later one as target."""
    if snapshot.cfg.n_layers < 2:
        raise NotMeasurable("the model has one layer: no head reads what another writes")
    head, heads = parse_head(name), all_heads(snapshot.cfg)
    earlier = [(other, head) for other in heads if other[0] < head[0]]
    return earlier + [(head, other) for other in heads if other[0] > head[0]]
