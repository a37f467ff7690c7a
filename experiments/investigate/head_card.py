"""The card of a head: all that is measured of it, shown in a notebook or written as a page."""

from dataclasses import dataclass, replace
from pathlib import Path

from experiments.investigate import head_page
from experiments.investigate.head_measures import HeadMeasures
from experiments.pages import saving
from experiments.pages.layout import page as layout
from experiments.results.file_names import of_heads, of_text, variant


@dataclass(frozen=True)
class HeadCard(HeadMeasures):
    """One head. It shows itself in a notebook; `save` writes the same as a page."""

    @property
    def file_name(self) -> str:
        """What the card is called in a results folder, without suffix: "L1H4", "L1H4_4800_cpp_seed1", ..."""
        cells, step = self.snapshot.cells, self.snapshot.step
        at = "" if step == cells.run.steps[-1] else f"_{step}"
        return f"{self.head}{at}{variant(cells.run, cells.plan)}{of_text(self.text)}{self._among}"

    @property
    def _among(self) -> str:
        """The end of the name where not all heads are looked at: "_alone", "_L5H1+L5H2"."""
        only = self.snapshot.only
        return "_alone" if only == (self.head,) else of_heads(only)

    def on(self, text: str) -> "HeadCard":
        """The same card with the attention on this text; raises ValueError for an empty one."""
        if not text:
            raise ValueError("the text is empty: give some to look at")
        return replace(self, text=text)

    def save(self, path: str | Path | None = None) -> Path:
        """Writes the card as one page that needs nothing else; returns its path. Raises ValueError for another suffix
        than .html: its parts are data, to be saved by themselves.

        path: default heads/NAME.html in the results folder, where the command line writes it too. The name says the
        head, and the checkpoint, corpus, seed and text where they are no default.
        """
        path = self.snapshot.cells.folder / "heads" / f"{self.file_name}.html" if path is None else path
        return saving.save_shown(path, self.snapshot.cells, lambda: head_page.page(self))

    def _repr_html_(self) -> str:
        return layout.cell(head_page.page(self))

    def __repr__(self) -> str:
        return f"HeadCard({self.head} of {self.snapshot.title}: .save(path) writes it as a page)"
