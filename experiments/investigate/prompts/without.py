"""A text with heads and paths removed by mean ablation, and how it differs from the intact one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ablations import forward, rerun, substitutes
from ablations.changes import Change, change_name, check_change, parse_change
from ablations.models import Config
from ablations.running import as_in_workers
from experiments.investigate.prompts import without_page
from experiments.investigate.prompts.measures import PromptMeasures
from experiments.investigate.prompts.predictions import in_terminal, most_likely, next_token_losses
from experiments.pages import saving
from experiments.pages.layout import page as layout
from experiments.pages.layout.page import Made, Page


def parsed(parts: Sequence[str | Change], cfg: Config) -> Change:
    """All parts as one change; raises ValueError for what is no head or path, or is not in the model, and for a path
    from an MLP, of which no means are taken.
    """
    changes = [parse_change(part) if isinstance(part, str) else part for part in parts]
    heads = dict.fromkeys(head for change in changes for head in change.heads)
    cuts = dict.fromkeys(path for change in changes for path in change.cuts)
    whole = check_change(Change(tuple(heads), tuple(cuts)), cfg)
    substitutes.check_mlps([whole], {}, cfg)
    return whole


@dataclass(frozen=True, eq=False)
class Without:
    """A text without some parts of the model. It shows itself; computed when it is first asked for, and once."""

    intact: PromptMeasures
    removed: Change

    @property
    def name(self) -> str:
        """What is removed: "L1H4+L0H5->L1H4.k"; "nothing" where nothing is."""
        return change_name(self.removed) or "nothing"

    @cached_property
    def logits(self) -> Float[Tensor, "pos d_vocab"]:
        """What the model gives after each token; raises NotMeasurable where there is no text to take means over."""
        snapshot, clean = self.intact.snapshot, self.intact.clean
        with as_in_workers(), torch.no_grad():
            run = rerun.prepare(snapshot.weights, snapshot.cfg, clean, snapshot.mean_z)
            return forward.unembed(snapshot.weights, snapshot.cfg, rerun.final_residual(run, self.removed))[0]

    @cached_property
    def loss(self) -> pd.Series:
        """The loss of each token but BOS in nats, by position and token."""
        return pd.Series(next_token_losses(self.logits, self.intact.ids), index=self.intact.predicted, name="loss")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The most likely next tokens, as `PromptMeasures.predictions`."""
        return most_likely(self.logits, self.intact.own, self.intact.snapshot.cells.run.tokenizer)

    @cached_property
    def change(self) -> pd.DataFrame:
        """Beside the intact model, by position and token: loss of both and its change in nats (positive: what was
        removed helps), and the most likely prediction in the token's place of both.
        """
        first, first_without = (_first(of.predictions).set_axis(self.loss.index) for of in (self.intact, self))
        return pd.DataFrame(
            {
                "loss": self.intact.loss,
                "loss_without": self.loss,
                "change": self.loss - self.intact.loss,
                "predicted": first,
                "predicted_without": first_without,
            }
        )

    def save(self, path: str | Path) -> Path:
        """Writes what a notebook shows as a page (.html), or `change` (.csv) by itself; returns
        the path. Raises ValueError for another suffix.
        """
        return saving.save_shown(path, self.intact.snapshot.cells, lambda: self.page, frame=lambda: self.change)

    @property
    def _title(self) -> str:
        return f"Without {self.name}"

    @property
    def page(self) -> Page:
        """What it shows."""
        snapshot = self.intact.snapshot
        about = f"On {snapshot.title}, {self.intact.own.source}"
        made = Made(f"inv.on(text).without({self.name!r})", snapshot.cells.run.name)
        return without_page.page(self._title, about, self.change, made)

    def _repr_html_(self) -> str:
        return layout.cell(self.page)

    def __repr__(self) -> str:
        head = f"{self._title} on {self.intact.snapshot.title}: {self.change.change.mean():+.3f} nats a token"
        return f"{head}\n{in_terminal(self.change)}"


def _first(predictions: pd.DataFrame) -> pd.Series:
    """The most likely token after each but the last."""
    return predictions.xs(1, level="rank").prediction.iloc[:-1]
