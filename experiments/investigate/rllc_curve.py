"""The learning coefficient of any restriction over the checkpoints of a run: data, picture and page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from ablations import forward
from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from experiments.investigate.snapshot import Snapshot
from experiments.jobs.announcement import announce
from experiments.measurements.restriction_llc import RESTRICTION_LLC
from experiments.measurements.rllc import RLLC
from experiments.pages import saving
from experiments.pages.layout import elements, pictures
from experiments.pages.layout import page as layout
from experiments.pages.layout.page import Made, Page, Section
from experiments.plots import head_curve
from experiments.results.file_names import variant
from experiments.results.plan import TRAINED
from experiments.runs.run import tokens_seen
from experiments.statistics.intervals import give_or_take
from llc import intervals, restrict, settings

COLUMNS = ("tokens", "value", "se", "half_width", "verdict")
KEPT = ("value", "se", "chain_value", "chain_se", "ess", "rhat", "verdict", "regime", "kappa")  # of a record
_HEAD = re.compile(r"L\d+H\d+")


@dataclass(frozen=True)
class RllcCurve:
    """One restriction at some checkpoints. It shows itself; `table` and `frame` are the numbers.

    Every checkpoint is sampled by itself and kept, so that what was interrupted goes on where it stopped. A single head
    is the same cell as on its card. Raises ValueError for a checkpoint that there is not, and for another gauge than
    the weights as trained where the restriction is no single head.
    """

    snapshot: Snapshot
    name: str
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("no steps: give at least one checkpoint, or none at all for a few of the run's")
        for step in self.steps:
            self.snapshot.cells.run.check_step(step)
        gauge = self.snapshot.cells.plan.gauge
        if not self._is_head and gauge != TRAINED:
            raise ValueError(f'gauge="{gauge}" is of single heads: take "{TRAINED}" for {self.name}')

    @property
    def _is_head(self) -> bool:
        return _HEAD.fullmatch(self.name) is not None

    @cached_property
    def table(self) -> xr.Dataset:
        """value, se, half_width (of the 95% interval), verdict, ... [step], with `tokens` (millions) along `step`;
        sampled where it is missing.

        value has no unit: nbeta times the mean rise of the loss in nats (`llc.estimate`).
        """
        cells, known, what = self.snapshot.cells, self._known(), f"learning coefficients of {self.name}"
        asked: dict = {"restrictions": [self.name]} if self._is_head else {"restriction": self.name}
        kind = RLLC if self._is_head else RESTRICTION_LLC
        jobs = [job for step in self.steps if step not in known for job in cells.missing(kind, step, **asked)]
        announce(what, jobs, self.snapshot.processes)
        self.snapshot.compute(jobs, what)
        records = [
            known[step] if step in known else cells.get(kind, step, restriction=self.name)[list(KEPT)]
            for step in self.steps
        ]
        joined = xr.concat(records, "step", combine_attrs="override", data_vars="all")
        seen = {"step": [*self.steps], "tokens": ("step", tokens_seen(cells.run, list(self.steps)))}
        return intervals.with_half_widths(joined.assign_coords(seen))

    def _known(self) -> dict[int, xr.Dataset]:
        """The records of a head that are there, by step: those of the committed sweep too."""
        if not self._is_head:
            return {}
        try:
            layer = self.snapshot.rllc(parse_head(self.name)[0])
        except NotMeasurable:
            return {}
        own = layer.sel(restriction=self.name)[list(KEPT)].reset_coords(drop=True)
        return {step: own.sel(step=step, drop=True) for step in self.steps if step in own.step and _sampled(own, step)}

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each checkpoint: step, tokens (millions), value, se, half_width, verdict."""
        return self.table[list(COLUMNS)].to_dataframe()[list(COLUMNS)].reset_index()

    def plot(self, *named: str) -> Figure:
        """The curve with its 95% intervals; this checkpoint is ringed. A head's stands among the other heads of its
        layer, in grey, as far as they are sampled at its checkpoints.

        named: those of them that are in colour too, with their names. Raises ValueError for one that is not there.
        """
        drawn = self.table[["value", "half_width"]].expand_dims(restriction=[self.name])
        if self._is_head and (others := self._others()) is not None:
            drawn = xr.concat([drawn, others], "restriction", join="left")
        there = [str(name) for name in drawn.restriction.values[1:]]
        if lacking := next((name for name in named if name not in there), None):
            raise ValueError(f"{lacking}: no other head with a curve here; there are {', '.join(there) or 'none'}")
        plan = self.snapshot.cells.plan
        how = f"{plan.llc.name} settings{plan.of_others}"
        return head_curve.draw(drawn, self.name, self.snapshot.step, how, named)

    def _others(self) -> xr.Dataset | None:
        """value and half_width [step, restriction] of the other heads of its layer that are sampled at some of its
        checkpoints by now; nothing where none is.
        """
        try:
            layer = self.snapshot.rllc(parse_head(self.name)[0])
        except NotMeasurable:
            return None
        known = intervals.with_half_widths(layer)[["value", "half_width", "verdict"]]
        there = known.isel(restriction=(known.restriction != self.name).values.nonzero()[0])
        there = there.sel(step=[step for step in self.steps if step in there.step])
        sampled = (there.verdict != "").any("step") if there.sizes["step"] else there.layer < 0
        kept = there.isel(restriction=sampled.values.nonzero()[0])[["value", "half_width"]]
        return kept.drop_vars(["layer", "head", "tokens"], errors="ignore") if kept.sizes["restriction"] else None

    def save(self, path: str | Path | None = None) -> Path:
        """Writes the curve as a page (.html), or its picture (.png, .svg, .pdf) or frame (.csv) by itself; returns the
        path (default: rllc_NAME.html in the results folder). Raises ValueError for another suffix.
        """
        cells = self.snapshot.cells
        at = cells.folder / f"rllc_{self.name}{variant(cells.run, cells.plan)}.html" if path is None else path
        return saving.save_shown(at, cells, lambda: self.page, self.plot, lambda: self.frame)

    @property
    def _title(self) -> str:
        return f"{self.name} of {self.snapshot.cells.run.name}: learning coefficient over training"

    @property
    def page(self) -> Page:
        """What it shows."""
        how = settings.from_json(self.table.attrs["settings"])
        picture = pictures.image(self.plot(), f"{self._title}, with 95% confidence intervals")
        rows = [
            [
                str(row["step"]),
                f"{row['tokens']:.3g}",
                give_or_take(row["value"], row["half_width"], 2),
                row["verdict"],
            ]
            for row in self.frame.to_dict("records")
        ]
        said = (
            f"No unit: nbeta times the mean rise of the loss in nats. {how.name} settings: lr {how.lr:g}, localization "
            f"{how.localization:g}, nbeta {how.nbeta:g}, {how.num_chains} chains."
            + (" Grey: the other heads of its layer, as far as they are sampled." if self._is_head else "")
        )
        table = elements.table(
            ("step", "million tokens", "value (95% confidence interval)", "verdict"), rows, words=(3,)
        )
        return Page(
            title=self._title,
            about="How much the loss reacts, at checkpoints of a run, to noise in one restriction of the weights: its "
            "local learning coefficient, sampled.",
            sections=[Section("Over training", elements.captioned(picture, said)), Section("In numbers", table)],
            made=Made(f'inv.rllc("{self.name}").save()', self.snapshot.cells.run.name),
        )

    def _repr_html_(self) -> str:
        return layout.cell(self.page)

    def __repr__(self) -> str:
        return (
            f"RllcCurve({self.name} of {self.snapshot.cells.run.name}, {len(self.steps)} checkpoints; .frame, .plot())"
        )


def curve(snapshot: Snapshot, restriction: str, steps: Sequence[int] | None) -> RllcCurve:
    """At these checkpoints; by default at the few that curves are read at."""
    parameters = forward.parameters_of(snapshot.cells.inputs.model(snapshot.step))
    name = restrict.parse(restriction, parameters, snapshot.cfg).name
    return RllcCurve(snapshot, name, tuple(snapshot.few_steps if steps is None else steps))


def _sampled(records: xr.Dataset, step: int) -> bool:
    """Whether the table has been sampled at this step, by its verdict."""
    return str(records.verdict.sel(step=step).item()) != ""
