"""What is measured of one text of the user's own: losses, predictions, attention, effects of heads and paths.

Effects are of mean ablation: loss without the part minus loss with it, in nats, so a positive one says that the part
helps there. The means are over the run's reference rows, as everywhere else in an investigation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import changed_losses, forward, rerun, substitutes
from ablations.changes import Change, change_name
from ablations.names import all_heads, head_name, parse_head
from ablations.not_measurable import NotMeasurable
from ablations.paths import OUTPUT, Path, all_paths, paths_of
from ablations.rerun import Clean
from ablations.running import as_in_workers
from experiments.investigate.own_text import OwnText
from experiments.investigate.prompts.predictions import index_of, most_likely, next_token_losses
from experiments.investigate.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class PromptMeasures:
    """A text at one checkpoint; each part is computed when it is first asked for, and once.

    Positions count from BOS, which stands at 0 and is no part of the user's text. Tables are by position and token;
    what is told of a token (its loss, what removing a head costs there) stands at the token itself, not at the one
    before it, so that BOS has no such line.
    """

    snapshot: Snapshot
    text: str
    own: OwnText

    @property
    def tokens(self) -> list[str]:
        """Every token as text, BOS first."""
        return self.own.words

    @property
    def ids(self) -> Int64[Tensor, " pos"]:
        """Every token as the model reads it."""
        return self.own.row

    @cached_property
    def logits(self) -> Float[Tensor, "pos d_vocab"]:
        """What the model gives after each token, up to fp32 rounding what `run.model(step)` gives."""
        with as_in_workers(), torch.no_grad():
            return forward.unembed(self.snapshot.weights, self.snapshot.cfg, self.clean.residuals[-1])[0]

    @cached_property
    def loss(self) -> pd.Series:
        """The cross-entropy of each token but BOS given those before it, in nats, by position and token."""
        return pd.Series(next_token_losses(self.logits, self.ids), index=self.predicted, name="loss")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The most likely next tokens after each token (and after the text): prediction and probability, by position,
        token and rank (from 1).
        """
        return most_likely(self.logits, self.own, self.snapshot.cells.run.tokenizer)

    @cached_property
    def attention(self) -> xr.DataArray:
        """Attention probabilities [head, query, key]; rows sum to 1, and keys after the query have 0."""
        with as_in_workers(), torch.no_grad():
            layers = [
                rerun.patterns(self.snapshot.weights, self.snapshot.cfg, self.clean, layer)[0]
                for layer in range(self.snapshot.cfg.n_layers)
            ]
        of_head = {head_name(head): layers[head[0]][head[1]].cpu().numpy() for head in all_heads(self.snapshot.cfg)}
        names, places = self.snapshot.heads, np.arange(len(self.tokens))
        coords = {"head": names, "query": places, "key": places}
        coords |= {"query_token": ("query", self.tokens), "key_token": ("key", self.tokens)}
        return xr.DataArray(np.stack([of_head[name] for name in names]), coords, ("head", "query", "key"))

    @cached_property
    def heads(self) -> pd.DataFrame:
        """What mean ablation of each head (columns) adds to the loss of each token (rows), in nats.

        Raises NotMeasurable where the run's text has no rows to take means over.
        """
        return self._effects([Change(heads=(parse_head(name),)) for name in self.snapshot.heads])

    @cached_property
    def paths(self) -> pd.DataFrame:
        """The same of every direct path between heads ("L0H5->L1H4.k") and from a head to the output; of paths from or
        into the heads that are looked at, where these are not all; from and into MLPs none. Many in a deep model.
        Errors as `heads`.
        """
        return self._effects([Change(cuts=(path,)) for path in self.every_path])

    @property
    def every_path(self) -> list[Path]:
        """The paths that `paths` is of."""
        cfg = self.snapshot.cfg
        every = [*all_paths(cfg), *(Path(head, OUTPUT) for head in all_heads(cfg))]
        return paths_of([parse_head(name) for name in self.snapshot.only], every)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """By position and token: its loss, what is predicted in its place with which probability, and the head that
        matters most for it with its effect in nats; without the head where effects cannot be measured.
        """
        first = self.predictions.xs(1, level="rank").iloc[:-1].set_axis(self.predicted)
        frame = pd.DataFrame({"loss": self.loss, "predicted": first.prediction, "probability": first.probability})
        try:
            effects = self.heads.to_numpy()
        except NotMeasurable:
            return frame
        strongest = np.abs(effects).argmax(1)
        return frame.assign(
            head=np.array(self.snapshot.heads)[strongest], effect=effects[np.arange(len(effects)), strongest]
        )

    @cached_property
    def clean(self) -> Clean:
        """The model's run on the text, with nothing removed."""
        with as_in_workers(), torch.no_grad():
            return rerun.clean_run(self.snapshot.weights, self.snapshot.cfg, self.ids[None])

    def _effects(self, changes: Sequence[Change]) -> pd.DataFrame:
        values = substitutes.fixed(self.snapshot.mean_z)
        with as_in_workers():
            (block,) = changed_losses.blocks(self.snapshot.weights, self.snapshot.cfg, self.ids[None], changes, values)
        return pd.DataFrame(
            block.effect[:, 0].T.double().numpy(), index=self.predicted, columns=[change_name(one) for one in changes]
        )

    @cached_property
    def predicted(self) -> pd.MultiIndex:
        """The tokens that are predicted: all but BOS."""
        return index_of(self.own)[1:]
