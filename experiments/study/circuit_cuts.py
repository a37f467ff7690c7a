"""What a run gives to the claim of the induction circuit: the cut that is claimed, held against all its rivals.

Claimed: keys from all previous-token heads. Its rivals are cuts, through any input, of every set of equal size that
holds none of these heads.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from ablations.not_measurable import NotMeasurable
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.paths import PATHS
from experiments.measurements.scores import SCORES
from experiments.results.cells import Cells
from experiments.study.study import Study
from experiments.study.two_layers import need_two_layers

REMOVED = 0.5  # of the prefix-matching attention, at least


class Cuts(NamedTuple):
    """What each cut takes in one run, by method (mean or resample ablation) and sequence of repeated tokens."""

    name: str
    cuts: list[str]  # "L0H1+L0H5.k"
    claimed: str
    matching: float  # the least prefix-matching score of the induction heads
    gain_lost: Float[np.ndarray, "method cut sequence"]  # nats per token
    attention_lost: Float[np.ndarray, "method cut sequence"]
    attention: Float[np.ndarray, " sequence"]  # clean
    untrained: "Cuts | None" = None  # the same cuts at step 0
    ranks: dict[str, int] | None = None  # of single paths, among all of the model
    on_text: dict[str, float] | None = None  # nats per token of the copy gain of repeated text: claimed, and best other


class Margin(NamedTuple):
    """What a cut takes of the copy gain more than the best of its rivals, under the less favourable method."""

    value: float  # nats per token
    se: float  # over sequences, paired
    rank: int  # of the cut among its rivals and itself, 1 for the largest effect
    rivals: int
    rival: str
    own_share: float  # of the attention, that the cut removes: the least of the methods
    other_share: float  # the most that a rival removes

    @property
    def removes(self) -> bool:
        """Whether half of the attention goes, under both methods."""
        return self.own_share >= REMOVED

    @property
    def met(self) -> bool:
        """Whether this seed has the largest effect, and half of the attention goes."""
        return self.rank == 1 and self.removes


def cuts_of(study: Study, cells: Cells) -> Cuts:
    """What cutting each set of heads from a run's induction heads takes; raises NotMeasurable for one layer."""
    need_two_layers(cells)
    steps, circuit = cells.run.steps, cells.table(INDUCTION_HEADS).isel(step=0)
    inducing = circuit.attrs["induction"].split("+")
    scores = cells.get(SCORES, steps[-1]).prefix_matching
    matching = float(scores.sel(restriction=inducing).min())
    cuts = of_table(cells.run.name, study.induction_cuts(cells, steps[-1]), matching)
    untrained = of_table(cells.run.name, study.induction_cuts(cells, 0), matching) if steps[0] == 0 else None
    removed = circuit.removed.sel(data="text").transpose("sources", "via")
    names = [f"{sources}.{via}" for sources in removed.sources.values for via in removed.via.values]
    on_text = dict(zip(names, removed.values.ravel().tolist(), strict=True))
    others = [on_text[name] for name in rivals(names, cuts.claimed)]
    ranks = _ranks(cells.get(PATHS, steps[-1]), circuit.attrs)
    text = {"claimed": on_text[cuts.claimed], "best other": max(others, default=float("nan"))}
    return cuts._replace(untrained=untrained, ranks=ranks, on_text=text)


def of_table(name: str, table: xr.Dataset, matching: float) -> Cuts:
    """The cuts in a dataset of `induction_cuts.measure`."""
    cuts = [f"{sources}.{via}" for sources in table.sources.values for via in table.via.values]
    in_order = table.transpose("method", "sources", "via", "sequence")
    gain, lost = (in_order[part].values for part in ("gain_lost", "attention_lost"))
    shape = (len(gain), len(cuts), -1)
    claimed = f"{table.attrs['previous']}.k"
    return Cuts(name, cuts, claimed, matching, gain.reshape(shape), lost.reshape(shape), table.attention.values)


def sources(cut: str) -> set[str]:
    """The heads that a cut is of."""
    return set(cut.rpartition(".")[0].split("+"))


def rivals(cuts: list[str], cut: str) -> list[str]:
    """The cuts, through any input, of sets that hold none of this one's heads."""
    return [other for other in cuts if not sources(other) & sources(cut)]


def margin(run: Cuts, cut: str) -> Margin:
    """A cut against its rivals, under both methods; raises NotMeasurable where it has none."""
    place, others = run.cuts.index(cut), [run.cuts.index(other) for other in rivals(run.cuts, cut)]
    if not others:
        raise NotMeasurable(f"{run.name}: no set as large holds none of {', '.join(sorted(sources(cut)))}")
    margins = []
    for gain, attention in zip(run.gain_lost, run.attention_lost, strict=True):
        rival = others[int(np.argmax(gain[others].mean(1)))]
        ahead = gain[place] - gain[rival]
        share = attention.mean(1) / run.attention.mean()
        rank = 1 + int((gain[others].mean(1) > gain[place].mean()).sum())
        se = float(ahead.std(ddof=1) / np.sqrt(len(ahead)))
        own_share, other_share = float(share[place]), float(share[others].max())
        margins.append(Margin(float(ahead.mean()), se, rank, len(others), run.cuts[rival], own_share, other_share))
    worst = min(margins, key=lambda by_method: by_method.value)
    return worst._replace(
        rank=max(by_method.rank for by_method in margins),
        own_share=min(by_method.own_share for by_method in margins),
        other_share=max(by_method.other_share for by_method in margins),
    )


def strangers(run: Cuts) -> str:
    """The set that holds no previous-token head whose keys take the most; "" where there is none."""
    lost = dict(zip(run.cuts, run.gain_lost.mean((0, 2)), strict=True))
    keys = [cut for cut in rivals(run.cuts, run.claimed) if cut.endswith(".k")]
    return max(keys, key=lambda cut: lost[cut], default="")


def _ranks(paths: xr.Dataset, heads: dict) -> dict[str, int]:
    """The rank of each claimed single path among all paths, by what cutting it costs (1: the most)."""
    effect = paths.effect
    return {
        f"{source}->{target}.k": 1
        + int((effect.values > float(effect.sel(source=source, target=target, via="k"))).sum())
        for source in heads["previous"].split("+")
        for target in heads["induction"].split("+")
    }
