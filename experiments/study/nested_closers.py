"""What a run gives to the claim of nested brackets: of a path, what cutting it costs at nested closers, late minus
early, minus the same at unnested closers like them.

Closers of brackets are held against those of brackets, and ends of strings against those of strings; a kind counts as
much as it has nested closers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import stats

from ablations.effects import clustered
from ablations.not_measurable import NotMeasurable
from experiments.measurements.variants import middle_step
from experiments.results.cells import Cells
from experiments.statistics.halves import random_half
from experiments.statistics.matching import adjusted, contrast, matched, through_slopes
from experiments.study.study import Study
from experiments.study.two_layers import need_two_layers
from experiments.tasks.closer_odds import ALL_GROUPS, CLEAN, QUOTES

CLOSERS, DOCUMENTS = 100, 30  # nested ones and their documents, in either half of the documents
EARLY, LATE, FIRST = range(3)  # times: middle of the training, its end, its first checkpoint


class Closers(NamedTuple):
    """Closers of brackets and strings in one run, the same ones at all times."""

    name: str
    first: int  # step of its first checkpoint; 0: the untrained model
    paths: list[str]
    odds: Float[np.ndarray, "time change closer"]  # log-odds of the right closer: clean, then with each path cut
    nested: Bool[np.ndarray, " closer"]
    quote: Bool[np.ndarray, " closer"]  # whether it ends a string
    document: Int64[np.ndarray, " closer"]
    distance: Int64[np.ndarray, " closer"]  # tokens from the opener
    pos: Int64[np.ndarray, " closer"]


class Interaction(NamedTuple):
    """A path of one run, chosen on half of the documents, and its interaction on the others, in nats."""

    path: str
    value: float
    se: float  # by document
    p: float
    chosen: float  # the interaction on the half that it was chosen on
    by_kind: dict[str, float]  # of brackets and of strings alone
    groups: dict[str, float]  # nested and control: means of what is lost early and late
    balance: dict[str, float]  # standardised differences of what is matched on
    least: str  # the path with the smallest interaction on the half that paths are chosen on
    least_value: float  # its interaction on the others: below 0 where the chosen path takes another's place

    @property
    def met(self) -> bool:
        """Whether this run alone shows it."""
        return self.value > 0 and self.p < 0.05


class Against(NamedTuple):
    """Nested closers of one kind against unnested ones like them."""

    kind: str
    share: float  # of the nested closers that are compared
    weights: Float[np.ndarray, " closer"]  # 1 over nested closers, -1 over their controls


def closers_of(study: Study, cells: Cells) -> Closers:
    """The closers of a run and what each path from head to head is worth to them, at the three times.

    Raises NotMeasurable for a run with one layer.
    """
    need_two_layers(cells)
    steps = (middle_step(cells.run), cells.run.steps[-1], cells.run.steps[0])
    tables = [study.closers(cells, step) for step in steps]
    late = tables[LATE]
    group = np.array(ALL_GROUPS)[late.group.values.astype(int)]
    used = np.flatnonzero(group != "quote")  # against the other quote: no bracket is asked for
    changes = [CLEAN, *(str(name) for name in late.change.values if "->" in str(name))]
    odds = np.stack([table.log_odds.sel(change=changes).values[:, used] for table in tables]).astype(np.float64)
    return Closers(
        cells.run.name,
        steps[FIRST],
        changes[1:],
        odds,
        np.isin(group[used], ("nested", "nested quote")),
        np.isin(group[used], QUOTES),
        *(late[name].values[used].astype(np.int64) for name in ("document", "distance", "pos")),
    )


def unmet(closers: Closers) -> str:
    """Why a run does not have enough nested closers that it predicts better than chance at the end; empty if it has."""
    chooses, nested = random_half(closers.document), closers.nested
    halves = [nested & half for half in (chooses, ~chooses)]
    fewest = min(int(half.sum()) for half in halves)
    documents = min(len(np.unique(closers.document[half])) for half in halves)
    if fewest < CLOSERS or documents < DOCUMENTS:
        return (
            f"{closers.name} has {fewest} nested closers of {documents} documents in the smaller half of its text, "
            f"{CLOSERS} of {DOCUMENTS} are asked"
        )
    right = clustered(closers.odds[LATE, 0, nested] > 0, closers.document[nested])
    if right.interval[0] > 0.5:
        return ""
    share = f"{100 * right.value:.0f}%"
    return f"{closers.name} has the right closer ahead at {share} of its nested closers: no better than chance"


def tested(
    closers: Closers, *, nested: Bool[np.ndarray, " closer"] | None = None, late: int = LATE, rank: int = 0
) -> Interaction:
    """The path whose interaction has this rank (0: the largest) on one half of the documents, on the other half.

    nested, late: other labels, and another time at which the path is tested, for controls. Raises NotMeasurable where
    a half of the documents has no nested closers or no others, or the other half is one document.
    """
    nested = closers.nested if nested is None else nested
    lost = closers.odds[:, :1] - closers.odds[:, 1:]  # [time, path, closer]
    on_half = _on_choosing_half(closers, nested, lost)
    path, least = int(np.argsort(-on_half, kind="stable")[rank]), int(np.argmin(on_half))
    tests, like = ~random_half(closers.document), likeness(closers, late)
    kinds = by_kind(closers, nested, like, tests)
    alone, influence = _of_path(closers, kinds, like, (lost[late] - lost[EARLY])[path])
    other, _ = _of_path(closers, kinds, like, (lost[late] - lost[EARLY])[least])
    weights = np.sum([against.share * against.weights for against in kinds], axis=0)
    count = len(np.unique(closers.document[weights != 0]))
    if count < 2:
        raise NotMeasurable(f"{closers.name}: closers in one document, but errors need two")
    value, se = _whole(kinds, alone), float(np.sqrt(count / (count - 1) * (influence**2).sum()))
    return Interaction(
        closers.paths[path],
        value,
        se,
        float(2 * stats.t.sf(abs(value) / se, count - 1)) if se > 0 else 1.0,
        float(on_half[path]),
        alone,
        _means(weights, {"early": lost[EARLY, path], "late": lost[late, path]}),
        _balance(weights, like, tests),
        closers.paths[least],
        _whole(kinds, other),
    )


def _on_choosing_half(
    closers: Closers, nested: Bool[np.ndarray, " closer"], lost: Float[np.ndarray, "time path closer"]
) -> Float[np.ndarray, " path"]:
    """The interaction of every path on the half of the documents that chooses."""
    like = likeness(closers, LATE)
    kinds = by_kind(closers, nested, like, random_half(closers.document))
    moved = [adjusted(lost[LATE] - lost[EARLY], against.weights, like) @ against.weights for against in kinds]
    return np.sum([against.share * of_kind for against, of_kind in zip(kinds, moved, strict=True)], axis=0)


def _of_path(
    closers: Closers, kinds: list[Against], like: Float[np.ndarray, "closer 4"], moved: Float[np.ndarray, " closer"]
) -> tuple[dict[str, float], Float[np.ndarray, " document"]]:
    """A path's interaction at each kind of closers, and each document's influence on that of all."""
    alone, influence = {}, np.zeros(1 + closers.document.max())
    for against in kinds:
        values, slopes = adjusted(moved[None], against.weights, like)[0], through_slopes(against.weights, like)
        alone[against.kind], of_documents = contrast(against.weights, values, closers.document, slopes)
        influence[[*of_documents]] += against.share * np.array([*of_documents.values()])
    return alone, influence


def _whole(kinds: list[Against], alone: dict[str, float]) -> float:
    """The interaction of all kinds, each by its share of the nested closers."""
    return float(sum(against.share * alone[against.kind] for against in kinds))


def by_kind(
    closers: Closers,
    nested: Bool[np.ndarray, " closer"],
    like: Float[np.ndarray, "closer 4"],
    inside: Bool[np.ndarray, " closer"],
) -> list[Against]:
    """Each kind of closers that has nested and unnested ones inside; raises NotMeasurable where none has both."""
    parts = {"brackets": inside & ~closers.quote, "strings": inside & closers.quote}
    both = {kind: part for kind, part in parts.items() if (part & nested).any() and (part & ~nested).any()}
    if not both:
        raise NotMeasurable(f"{closers.name}: matching needs some of both nested and unnested closers of one kind")
    total = sum(int((part & nested).sum()) for part in both.values())
    return [
        Against(kind, int((part & nested).sum()) / total, matched(nested, like, part)) for kind, part in both.items()
    ]


def likeness(closers: Closers, late: int) -> Float[np.ndarray, "closer 4"]:
    """What controls are matched on: distance and position (logarithms), and clean log-odds at both times."""
    early, end = closers.odds[EARLY, 0], closers.odds[late, 0]
    return np.stack([np.log(closers.distance), np.log(closers.pos), early, end], axis=1)


def _means(weights: Float[np.ndarray, " closer"], lost: dict[str, Float[np.ndarray, " closer"]]) -> dict[str, float]:
    """What is lost at nested closers and at their controls, at each time."""
    return {
        f"{name}, {when}": float((sign * weights).clip(0) @ values)
        for name, sign in (("nested", 1), ("controls", -1))
        for when, values in lost.items()
    }


def _balance(
    weights: Float[np.ndarray, " closer"], like: Float[np.ndarray, "closer 4"], inside: Bool[np.ndarray, " closer"]
) -> dict[str, float]:
    """How far nested closers and their controls are apart in what they are matched on, in standard deviations."""
    spread = like[inside].std(0)
    apart = weights @ like / np.where(spread > 0, spread, 1)
    names = ("distance", "position", "clean log-odds early", "clean log-odds late")
    return dict(zip(names, apart.tolist(), strict=True))
