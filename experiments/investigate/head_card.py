"""The card of a head: all that is measured of it, shown in a notebook or written as a page."""

from dataclasses import dataclass, replace
from pathlib import Path

from experiments.investigate import head_page
from experiments.investigate.head_measures import HeadMeasures
from experiments.pages import shell
from experiments.storage.files import write_bytes


@dataclass(frozen=True)
class HeadCard(HeadMeasures):
    """One head. It shows itself in a notebook; `save` writes the same as a page."""

    def on(self, text: str) -> "HeadCard":
        """The same card with the attention on this text; raises ValueError for an empty one."""
        if not text:
            raise ValueError("the text is empty: give some to look at")
        return replace(self, text=text)

    def save(self, path: str | Path) -> Path:
        """Writes the card as one page that needs nothing else; returns its path."""
        page = shell.page(f"{self.head} of {self.snapshot.title}", head_page.card(self))
        write_bytes(Path(path), page.encode())
        return Path(path)

    def _repr_html_(self) -> str:
        return head_page.card(self)

    def __repr__(self) -> str:
        return f"HeadCard({self.head} of {self.snapshot.title}: .save(path) writes it as a page)"
