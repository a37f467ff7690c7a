"""What a model does on one text of the user's own, shown in a notebook, in a terminal or as a page.

prompt = inv.on("def area(width, height): return width * height")
prompt                       # shows itself
prompt.heads.mean()          # what removing each head costs, in nats a token
prompt.without("L1H4", "L0H5->L1H4.k").change
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

from ablations.changes import Change
from experiments.investigate.own_text import encoded
from experiments.investigate.prompts import page
from experiments.investigate.prompts.measures import PromptMeasures
from experiments.investigate.prompts.predictions import in_terminal
from experiments.investigate.prompts.without import Without, parsed
from experiments.investigate.snapshot import Snapshot
from experiments.pages import saving
from experiments.pages.layout import page as layout
from experiments.results.file_names import of_heads, of_text, variant


@dataclass(frozen=True, eq=False)
class Prompt(PromptMeasures):
    """A text at one checkpoint. It shows itself; `save` writes the same as a page."""

    def without(self, *parts: str | Change) -> Without:
        """The same text with all of these heads and paths removed at once by mean ablation: "L1H4", "L0H5->L1H4.k".

        A cut path's source that is no head ("embed", "pos_embed", "b_O") is taken out whole. Raises ValueError for what
        the model does not have, and for a path from an MLP, of which no means are taken.
        """
        return Without(self, parsed(parts, self.snapshot.cfg))

    def save(self, path: str | Path | None = None) -> Path:
        """Writes what a notebook shows as a page (.html), or `summary` (.csv) by itself; returns the path. Raises
        ValueError for another suffix.

        path: default prompts/NAME.html in the results folder; the name says checkpoint, corpus and seed where they are
        no default, and the text by a hash.
        """
        cells = self.snapshot.cells
        at = "prompt" if self.snapshot.step == cells.run.steps[-1] else f"prompt_{self.snapshot.step}"
        name = f"{at}{variant(cells.run, cells.plan)}{of_text(self.text)}{of_heads(self.snapshot.only)}.html"
        at_path = cells.folder / "prompts" / name if path is None else path
        return saving.save_shown(at_path, cells, lambda: page.page(self), frame=lambda: self.summary)

    def _repr_html_(self) -> str:
        return layout.cell(page.page(self))

    def __repr__(self) -> str:
        head = f"Prompt on {self.snapshot.title}: {self.own.source}, {self.loss.mean():.2f} nats a token"
        more = ".heads, .paths, .attention, .predictions, .logits, .without('L1H4'), .save('page.html')"
        return f"{head}\n{in_terminal(self.summary)}\n{more}"


def on_text(snapshot: Snapshot, text: str) -> Prompt:
    """The text at this checkpoint. One that does not fit the context is cut, with a warning that says how much fits.

    Raises ValueError for a text without a token, and for one that the run's tokenizer cannot encode.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no text: give a string")
    own = encoded(snapshot.cells.run.tokenizer, text, snapshot.cells.inputs.n_ctx)
    fit = len(own.row) - 1
    if fit < own.given:
        warnings.warn(f"the text has {own.given} tokens, {fit} fit the context: the rest is left out", stacklevel=3)
    return Prompt(snapshot, text, own)
