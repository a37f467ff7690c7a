"""Runs that are looked at together, and what the findings ask of them."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int64

from ablations.not_measurable import NotMeasurable
from experiments.heldout import ablation_pass, head_types, multigram_moves, overlap_changes, syntax_shares
from experiments.heldout.ablation_pass import AblationPass
from experiments.measurements.curvature import CURVATURE
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.logits import LOGITS, projected
from experiments.measurements.token_map import TOKEN_MAP
from experiments.measurements.variants import MAIN, at_few, few_steps, of_way, of_whole_model
from experiments.results.cells import Cells
from experiments.study.two_layers import need_two_layers
from experiments.tasks import bracket_effects, closer_odds, induction_cuts


@dataclass(frozen=True)
class Study:
    """One entry for each run (training seed)."""

    cells: tuple[Cells, ...]

    @property
    def judged(self) -> tuple[Cells, ...]:
        """The runs that verdicts come from: thresholds were fixed on the first, so without it where two others are."""
        return self.cells[1:] if len(self.cells) > 2 else self.cells

    def rllc(self, cells: Cells, way: str = MAIN) -> xr.Dataset:
        """value, se, noise_value, half_width, ... [step, restriction] in this way (`Sampled.coefficients`); raises
        NotMeasurable where it is not sampled yet, which takes long.
        """
        sampled = of_way(cells, way)
        if sampled.missing():
            raise NotMeasurable(f"rLLCs of {cells.run.name} in the way {way!r} are not sampled yet: use the verb sweep")
        return sampled.coefficients()

    def types(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        """`head_types.measure` at a checkpoint (default: the last)."""
        return head_types.table(cells, pass_of_types(cells, step))

    def effects(self, cells: Cells, step: int | None = None) -> xr.Dataset:
        """`ablation_pass.kept`: the effect of removing each head (mean ablation) on every scored token."""
        return ablation_pass.kept(cells, pass_of_types(cells, step))

    def overlap_changes(self, cells: Cells) -> xr.Dataset:
        """`overlap_changes.measure`: which pairs of heads come to affect the same tokens, early snapshot to the end."""
        need_two_layers(cells)
        return overlap_changes.table(cells)

    def multigram_moves(self, cells: Cells) -> xr.Dataset:
        """`multigram_moves.measure`: what layers come to do for multigrams, from the early snapshot to the end."""
        need_two_layers(cells)
        return multigram_moves.table(cells)

    def syntax_shares(self, cells: Cells) -> xr.Dataset:
        """`syntax_shares.measure`, of heads of the last layer; NotMeasurable where the tokenizer cannot encode code."""
        return syntax_shares.table(cells)

    def brackets(self, cells: Cells) -> dict[int, xr.Dataset]:
        """`bracket_effects.measure` at few checkpoints, by step."""
        return {step: bracket_effects.table(cells, step) for step in few_steps(cells)}

    def closers(self, cells: Cells, step: int) -> xr.Dataset:
        """`closer_odds.measure`: the same closers at every checkpoint."""
        return closer_odds.table(cells, step)

    def induction_cuts(self, cells: Cells, step: int) -> xr.Dataset:
        """`induction_cuts.measure`, of the heads that are previous-token and induction heads at the end."""
        return induction_cuts.table(cells, step)

    def full_llc(self, cells: Cells) -> xr.Dataset:
        """value, se, ... [step] of the whole model on its own text."""
        return of_whole_model(cells).table(FULL_LLC)

    def logits(self, cells: Cells) -> tuple[Int64[np.ndarray, " step"], Float[np.ndarray, "step output"]]:
        """What the run says on the same inputs at every step at which its weights are known, on random directions that
        all runs share (`logits.projected`).
        """
        found = projected(cells.get(LOGITS)).logits
        return found.step.values, found.values.astype(np.float64)

    def token_map(self, cells: Cells) -> xr.Dataset:
        """`token_map.measure` at the last checkpoint; raises NotMeasurable where it is not sampled yet."""
        if cells.missing_tables([TOKEN_MAP]):
            raise NotMeasurable(f"susceptibilities of {cells.run.name} are not sampled yet: use the verb sweep")
        return cells.table(TOKEN_MAP).isel(step=-1)

    def curvature(self, cells: Cells) -> xr.Dataset:
        """hessian, fisher, weight_norm [step, restriction] at few checkpoints."""
        return at_few(cells).table(CURVATURE)


def pass_of_types(cells: Cells, step: int | None = None) -> AblationPass:
    """The pass over held-out text that types at a checkpoint (default: the last) rest on."""
    return head_types.pass_of_types(cells, cells.run.steps[-1] if step is None else step)
