"""All that is known of one head at one checkpoint, as plain data; each part is computed when it is first asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd
import xarray as xr

from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from experiments.heldout import ablation_pass, affected_tokens
from experiments.heldout.ablation_pass import AblationPass
from experiments.heldout.affected_tokens import Context
from experiments.investigate import expressed_tokens, head_pairs, score_parts, text_attention
from experiments.investigate.attention_grid import TextAttention
from experiments.investigate.snapshot import Snapshot
from experiments.jobs.announcement import announce
from experiments.jobs.job import Job
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.paths import PATHS

TOP = 6  # affected tokens


@dataclass(frozen=True)
class HeadMeasures:
    """One head.

    Every part raises NotMeasurable, in one sentence, where the run or its text does not allow to measure it.
    """

    snapshot: Snapshot
    head: str
    text: str = ""  # that attention is shown on; empty: held-out text where the head matters

    @property
    def layer(self) -> int:
        return parse_head(self.head)[0]

    @cached_property
    def evidence(self) -> xr.Dataset:
        """What the type rests on, as `head_types.table` has it: type, why, effect (nats per token), attention scores,
        the kinds of the tokens that its direct path matters most for, and what it does for each multigram of the model.
        """
        return self.snapshot.types.sel(restriction=self.head)

    @cached_property
    def layer_rllc(self) -> xr.Dataset:
        """value, se, verdict, ... [step, restriction] of all heads of its layer, which it may be compared with.

        Heads and steps are all that were sampled, here or by another command.
        """
        self.snapshot.compute(self._missing_rllcs(), f"learning coefficients of layer {self.layer}")
        layer = self.snapshot.rllc(self.layer)
        sampled = layer.verdict != ""
        steps, heads = (sampled.any(other).values.nonzero()[0] for other in ("restriction", "step"))
        return layer.isel(step=steps, restriction=heads)

    @cached_property
    def rllc(self) -> xr.Dataset:
        """value, se, verdict, ... [step]: its learning coefficient over training, with the health record."""
        return self.layer_rllc.sel(restriction=self.head)

    @cached_property
    def composition(self) -> pd.DataFrame:
        """source, target, via, score, baseline, sds: `head_pairs.composition`."""
        self.snapshot.compute(self._missing_composition(), "composition")
        return head_pairs.composition(self.snapshot, self.head)

    @cached_property
    def paths(self) -> pd.DataFrame:
        """source, target, via, effect, copy_gain, with their errors: `head_pairs.paths`."""
        self.snapshot.compute(self._missing_paths(), f"paths of {self.head}")
        return head_pairs.paths(self.snapshot, self.head)

    @cached_property
    def contexts(self) -> list[Context]:
        """The tokens of held-out text whose loss rises most under resample ablation of the head."""
        return self._listed(1)

    @cached_property
    def made_worse(self) -> list[Context]:
        """The tokens whose loss falls most under it: those that a suppression head works against."""
        return self._listed(-1)

    def _listed(self, sign: int) -> list[Context]:
        self.snapshot.compute(self._missing_affected(), f"tokens that {self.head} matters for")
        with as_in_workers():
            ablation = self.affected_pass
            hits = ablation_pass.hits(self.snapshot.cells, ablation, self.head, sign, TOP)
            return affected_tokens.contexts(self.snapshot.cells.inputs, ablation, self.head, hits)

    @cached_property
    def affected(self) -> pd.DataFrame:
        """`contexts` as a table: target, effect (nats) and its standard error over the donors, predictions, ..."""
        return affected_tokens.frame(self.contexts)

    @cached_property
    def expressed(self) -> pd.DataFrame:
        """The tokens that it expresses and suppresses most: `expressed_tokens.tokens`."""
        return expressed_tokens.tokens(self.snapshot, self.head)

    @cached_property
    def attention(self) -> TextAttention:
        """What the head attends to from each token of the text, and what removing it costs there."""
        with as_in_workers():
            if self.text:
                return text_attention.on_text(self.snapshot, self.head, self.text)
            return text_attention.where_it_matters(self.snapshot, self.head, self.contexts)

    @cached_property
    def score_parts(self) -> pd.DataFrame:
        """Why it looks where it does, as pairs of sources: `score_parts.table`."""
        return score_parts.table(self.snapshot, self.head)

    @property
    def path_tokens(self) -> int:
        """Tokens of held-out text that paths are cut on, which are fewer than those of the head's own effect."""
        return head_pairs.path_pass(self.snapshot, self.head).tokens

    @property
    def affected_pass(self) -> AblationPass:
        """The pass over held-out text that `contexts` are of: resample ablation of the head."""
        inputs = self.snapshot.cells.inputs
        tokens = min(self.snapshot.cells.plan.affected_tokens, inputs.free_tokens)
        return ablation_pass.check(AblationPass((self.head,), self.snapshot.step, tokens, lists=True), inputs)

    def compute(self) -> None:
        """All that the card shows and that is missing, but for types, with one bar for the time left.

        Where all of it takes long, a line says so first, and how long this head alone takes.
        """
        jobs, types = self._missing(), _allowed(self.snapshot.missing_types)
        less = None if self.snapshot.only else (f"--heads {self.head}", self._missing_alone)
        announce(f"card of {self.head}", [*jobs, *types], self.snapshot.processes, less)
        self.snapshot.compute(jobs, f"card of {self.head}")

    def _missing(self) -> list[Job]:
        parts = (self._missing_rllcs, self._missing_composition, self._missing_paths, self._missing_affected)
        return [job for part in parts for job in _allowed(part)]

    def _missing_alone(self) -> list[Job]:
        """What is missing where no other head is looked at."""
        alone = replace(self, snapshot=replace(self.snapshot, only=(self.head,)))
        return [*alone._missing(), *_allowed(alone.snapshot.missing_types)]

    def _missing_rllcs(self) -> list[Job]:
        return self.snapshot.missing_rllcs([self.layer])

    def _missing_composition(self) -> list[Job]:
        snapshot = self.snapshot
        return snapshot.cells.missing(COMPOSITION, snapshot.step) if snapshot.cfg.n_layers > 1 else []

    def _missing_paths(self) -> list[Job]:
        ablation = head_pairs.path_pass(self.snapshot, self.head)
        copying = self.snapshot.cells.missing(PATHS, self.snapshot.step, **self.snapshot.copying)
        return [*copying, *ablation_pass.missing(self.snapshot.cells, ablation)]

    def _missing_affected(self) -> list[Job]:
        return ablation_pass.missing(self.snapshot.cells, self.affected_pass)


def _allowed(missing: Callable[[], list[Job]]) -> list[Job]:
    """The missing jobs; none where the run or its text does not allow them, which whoever reads them says."""
    try:
        return missing()
    except NotMeasurable:
        return []
