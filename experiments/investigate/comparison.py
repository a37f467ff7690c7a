"""Two heads of a checkpoint side by side, and how they differ, where both were measured on the same."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import xarray as xr
from markupsafe import Markup

from ablations.effects import Estimate
from ablations.not_measurable import NotMeasurable
from experiments.heldout import head_effects, head_overlap
from experiments.heldout.head_types import ATTENTION
from experiments.heldout.path_overlap import SHARE
from experiments.investigate.head_card import HeadCard
from experiments.measurements.rllc import RLLC
from experiments.pages import saving
from experiments.pages.layout import elements
from experiments.pages.layout import page as layout
from experiments.pages.layout.page import Made, Page, Section
from experiments.statistics.intervals import caution, degrees_of, give_or_take
from llc import intervals, settings
from llc.estimate import half_width, mean_error, rises

NAMES = {
    "effect": head_effects.NAME,
    "rllc": "learning coefficient (rLLC)",
    **ATTENTION,
}
UNKNOWN = Estimate(float("nan"), float("nan"))
PARTS = ("first", "second", "difference")


class Row(NamedTuple):
    """One measure of both, with standard errors; the difference is NaN where it has no error of its own."""

    first: Estimate
    second: Estimate
    difference: Estimate = UNKNOWN
    half_widths: tuple[float, ...] = ()  # of their 95% intervals, where the estimates do not tell them


@dataclass(frozen=True)
class Comparison:
    """Shows itself as a table; the numbers are in `table`."""

    first: HeadCard
    second: HeadCard

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each measure: first, second and their difference, each with its standard error (`_se`) and half
        the width of its 95% interval (`_half`).

        Effects are those of the cards (`head_effects`). Differences are paired: of effects by document, of rLLCs draw
        by draw on the same minibatches (within a layer alone). What the run or its text does not allow is left out.
        """
        rows = {}
        looks: dict[str, Callable[[], Row]] = {score: partial(self._look, score) for score in ATTENTION}
        for measure, measured in ({"effect": self._effect, "rllc": self._rllc} | looks).items():
            with suppress(NotMeasurable):
                rows[measure] = measured()
        columns = [f"{part}{end}" for part in PARTS for end in ("", "_se", "_half")]
        flat = {measure: _numbers(row) for measure, row in rows.items()}
        return pd.DataFrame.from_dict(flat, orient="index", columns=columns).rename_axis("measure")

    @cached_property
    def shared(self) -> tuple[float, float]:
        """The part of the tokens that one matters most for (`SHARE` of the text) that is the other's too, and the
        part by chance.
        """
        snapshot = self.first.snapshot
        overlap = head_overlap.removed(snapshot.cells, snapshot.effects)
        at = snapshot.heads.index(self.first.head), snapshot.heads.index(self.second.head)
        return float(overlap.shared.both[at]) / overlap.size, float(overlap.shared.chance[at]) / overlap.size

    def _effect(self) -> Row:
        snapshot, heads = self.first.snapshot, (self.first.head, self.second.head)
        effects = head_effects.of_heads(snapshot.types)
        pair = effects[heads[0]], effects[heads[1]]
        return Row(*pair, head_effects.difference(snapshot.cells, snapshot.effects, heads, pair))

    def _rllc(self) -> Row:
        return self._rllc_paired() if self.first.layer == self.second.layer else self._rllc_apart()

    def _rllc_apart(self) -> Row:
        """The coefficients of heads of two layers, whose difference is not told since they are not to be compared."""
        step, rllcs = self.first.snapshot.step, [self.first.rllc, self.second.rllc]
        if step not in rllcs[0].step.values:
            raise NotMeasurable(f"learning coefficients are not sampled at step {step}")
        at = [one.sel(step=step) for one in rllcs]
        first, second = (Estimate(float(one.value), float(one.se)) for one in at)
        half = tuple(float(intervals.half_widths(one)) for one in at)
        return Row(first, second, half_widths=(*half, float("nan")))

    def _rllc_paired(self) -> Row:
        """The draws of both are on the same minibatches."""
        traces = [one.rename(trace_loss="loss", trace_center_loss="center_loss") for one in self._traced()]
        how = settings.from_json(traces[0].attrs["settings"])
        first, second = (how.nbeta * rises(trace)[:, how.num_burnin :] for trace in traces)
        series = (first, second, first - second)
        one, other, apart = (Estimate(float(draws.mean()), mean_error(draws)) for draws in series)
        return Row(one, other, apart, tuple(half_width(draws, how) for draws in series))

    def _traced(self) -> list[xr.Dataset]:
        """The traces of both heads (of one layer), whose draws the committed sweep does not keep."""
        snapshot = self.first.snapshot
        heads = [card.head for card in (self.first, self.second)]
        sampled = replace(snapshot.cells, committed=False)
        snapshot.compute(sampled.missing(RLLC, snapshot.step, restrictions=sorted(set(heads))), "draws of both heads")
        traced = [sampled.read(RLLC, snapshot.step, restriction=head) for head in heads]
        if any(one is None for one in traced):
            raise NotMeasurable("learning coefficients cannot be sampled")
        return [one for one in traced if one is not None]

    def _look(self, score: str) -> Row:
        at = [card.evidence for card in (self.first, self.second)]
        return Row(*(Estimate(float(one[score]), float(one[f"{score}_se"]), degrees_of(one, score)) for one in at))

    @property
    def page(self) -> Page:
        """What it shows."""
        names = self.first.head, self.second.head
        rows = [["type", *(_type(card) for card in (self.first, self.second)), ""]]
        for measure, row in self.table.iterrows():
            parts = [give_or_take(row[part], row[f"{part}_half"]) for part in PARTS]
            rows.append([NAMES[str(measure)], *parts])
        rows.append(["strongest composition", *(_strongest(card) for card in (self.first, self.second)), ""])
        said = (
            f"With 95% confidence intervals.{self._population()} There is a difference where it is paired: of losses "
            "by document, of rLLCs of one layer draw by draw on the same minibatches."
        )
        table = elements.table(("", *names, "difference"), rows, kind="loose")
        return Page(
            title=f"{names[0]} and {names[1]}",
            about=f"Two heads of {self.first.snapshot.title}, side by side.",
            sections=[
                Section("Measure by measure", table + elements.quiet(said)),
                Section("Tokens that both matter for", self._overlap()),
            ],
            made=Made(f"inv.compare{names!r}.save(path)", self.first.snapshot.cells.run.name),
        )

    def save(self, path: str | Path) -> Path:
        """Writes what a notebook shows as a page (.html), or its table (.csv) by itself; returns
        the path. Raises ValueError for another suffix.
        """
        return saving.save_shown(path, self.first.snapshot.cells, lambda: self.page, frame=lambda: self.table)

    def _repr_html_(self) -> str:
        return layout.cell(self.page)

    def _population(self) -> str:
        try:
            types = self.first.snapshot.types
            few = caution(types, "effect", *ATTENTION)
            return f" Loss rises are means over {head_effects.population(types)}. {few}".rstrip()
        except NotMeasurable:  # the row of types says why
            return ""

    def _overlap(self) -> Markup:
        try:
            both, chance = self.shared
        except NotMeasurable as error:
            return elements.not_measured(f"shared tokens: {error}")
        return elements.paragraph(
            f"Of the {100 * SHARE:g}% of held-out tokens that each matters most for, {100 * both:.0f}% are also the "
            f"other's; among like tokens by chance {100 * chance:.0f}%."
        )

    def __repr__(self) -> str:
        names = f"{self.first.head}, {self.second.head} of {self.first.snapshot.title}"
        return f"Comparison({names}; .table has the numbers, .save(path) writes a page)"


def _numbers(row: Row) -> list[float]:
    """Each estimate, its standard error and half the width of its interval, in turn."""
    estimates = (row.first, row.second, row.difference)
    half_widths = row.half_widths or tuple(estimate.interval[1] - estimate.value for estimate in estimates)
    pairs = zip(estimates, half_widths, strict=True)
    return [number for estimate, half in pairs for number in (estimate.value, estimate.se, half)]


def _type(card: HeadCard) -> str:
    try:
        return elements.strong(card.evidence.type.item())
    except NotMeasurable as error:
        return f"not measured: {error}"


def _strongest(card: HeadCard) -> str:
    try:
        at = card.composition.iloc[int(card.composition.sds.argmax())]
    except NotMeasurable as error:
        return f"not measured: {error}"
    return f"{at.source} to {at.target}, {at.via}: {at.score:.3f} ({at.sds:+.1f} sd)"
