"""Two checkpoints, of one run or of two, head by head: what became of each, or what its counterpart does there."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ablations.names import head_name, parse_head
from ablations.not_measurable import NotMeasurable
from experiments.heldout.head_types import ATTENTION
from experiments.investigate import overview
from experiments.investigate.circuit_comparison import CircuitComparison
from experiments.investigate.comparison import NAMES
from experiments.investigate.snapshot import Snapshot
from experiments.pages import saving
from experiments.pages.layout import elements
from experiments.pages.layout import page as layout
from experiments.pages.layout.page import Made, Page, Section
from experiments.statistics.intervals import give_or_take, reach
from experiments.tasks import circuit_difference

MEASURES = ("effect", *ATTENTION, "rllc")
TASK = "induction"  # on whose prompts heads of two runs are matched


@dataclass(frozen=True, eq=False)
class SnapshotComparison:
    """Shows itself as a table; the numbers are in `table`. Measured when it is first shown or asked for.

    Raises ValueError for one checkpoint twice, and NotMeasurable for models of other layers or heads.
    """

    first: Snapshot
    second: Snapshot

    def __post_init__(self) -> None:
        circuit_difference.check_apart(*((each.cells, each.step) for each in (self.first, self.second)))

    @property
    def one_run(self) -> bool:
        """Whether both are checkpoints of one run, in which a head is the same head."""
        return self.first.cells.run.folder == self.second.cells.run.folder

    @cached_property
    def partners(self) -> pd.DataFrame:
        """By head of the first: partner, the head of the second that does the same, and share of the resamples of
        prompts in which it is the same one (`circuits.head_matching`, on induction prompts); itself within a run.
        """
        names = self.first.heads
        if self.one_run:
            return pd.DataFrame({"partner": names, "share": 1.0}, index=pd.Index(names, name="head"))
        matching = CircuitComparison(self.first, self.second, TASK).difference.matching
        found = {
            name: (head_name(matching.partner[parse_head(name)]), matching.share[parse_head(name)]) for name in names
        }
        return pd.DataFrame.from_dict(found, orient="index", columns=["partner", "share"]).rename_axis("head")

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each head of the first: partner, share, type and other_type, and for each measure its value in
        both (`effect`, `other_effect`), the difference (other - own, `effect_change`) and half the width of its 95%
        interval (`effect_half`), the errors of both taken as independent: where both are on the same text, as within a
        run, the interval is rather too wide. NaN for what is not measured.
        """
        own = overview.frame(self.first)
        other = overview.frame(self.second).reindex(self.partners.partner)
        rows = self.partners.assign(type=own.type.values, other_type=other.type.values)
        for measure in MEASURES:
            values, others = own[measure].to_numpy(float), other[measure].to_numpy(float)
            half = np.hypot(_half(own, measure), _half(other, measure))
            new = {measure: values, f"other_{measure}": others, f"{measure}_change": others - values}
            rows = rows.assign(**new, **{f"{measure}_half": half})
        return rows

    def save(self, path: str | Path) -> Path:
        """Writes what a notebook shows as a page (.html), or its table (.csv) by itself; returns
        the path. Raises ValueError for another suffix.
        """
        return saving.save_shown(path, self.first.cells, lambda: self.page, frame=lambda: self.table)

    @property
    def _title(self) -> str:
        return f"{self.first.title}, and {self.second.title}"

    @property
    def page(self) -> Page:
        """What it shows."""
        about = "Two checkpoints head by head: what became of each head, or what its counterpart in the other run does."
        made = Made(f"{'inv' if self.one_run else 'dc'}.compare(...).save(path)")
        try:
            rows = [self._row(str(name), row) for name, row in self.table.iterrows()]
        except NotMeasurable as error:
            return Page(self._title, about, [], made, elements.not_measured(error))
        partner = [] if self.one_run else ["matched with", "sure"]
        columns = ("head", *partner, "type", *(NAMES[measure] for measure in MEASURES))
        said = (
            "What the first has, and the change to the second with its 95% confidence interval, the errors of both "
            "taken as independent. rLLCs have no unit; compare within a layer."
        )
        if not self.one_run:
            said += (
                " Heads are matched within layers by what they do on induction prompts; sure: in how many resamples."
            )
        table = elements.table(columns, rows, words=range(1 + len(partner) + 1))
        return Page(self._title, about, [Section("Head by head", table + elements.quiet(said))], made)

    def _repr_html_(self) -> str:
        return layout.cell(self.page)

    def _row(self, name: str, row: pd.Series) -> list[str]:
        partner = [] if self.one_run else [row["partner"], f"{100 * row['share']:.0f}%"]
        types = [str(kind) for kind in (row["type"], row["other_type"]) if isinstance(kind, str)]
        kind = " → ".join(dict.fromkeys(types))
        cells = [_changed(row, measure, 2 if measure == "rllc" else 3) for measure in MEASURES]
        return [elements.strong(name), *partner, kind, *cells]

    def __repr__(self) -> str:
        return f"SnapshotComparison({self._title}; .table has the numbers, .save(path) writes a page)"


def _half(frame: pd.DataFrame, measure: str) -> np.ndarray:
    """Half the width of each head's 95% interval."""
    if measure == "rllc":
        return frame.rllc_half.to_numpy(float)
    degrees = frame[f"{measure}_degrees"].to_numpy(float)
    return reach(degrees) * frame[f"{measure}_se"].to_numpy(float)


def _changed(row: pd.Series, measure: str, digits: int) -> str:
    """The first's value and the change; nothing for what is not known."""
    if pd.isna(row[measure]):
        return ""
    change = give_or_take(row[f"{measure}_change"], row[f"{measure}_half"], digits)
    return f"{row[measure]:.{digits}f}" + (f" {'' if change.startswith('-') else '+'}{change}" if change else "")
