"""What removing heads of the last layer costs on code alone: a pass over held-out text of another corpus.

It is much shorter than the pass that head types rest on: 200 tokens are looked at of each head, those that it affects
most.
"""

from concurrent.futures import Executor

import xarray as xr

from ablations.names import all_heads, head_name
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.jobs.job import Job
from experiments.measurements.variants import CODE, OTHER_TEXTS
from experiments.results.cells import Cells

TOKENS = 200_000  # of held-out code, or all where there are fewer


def cells_on_code(cells: Cells) -> Cells:
    """The cells of the same run on code."""
    return cells.planned(corpus=OTHER_TEXTS[CODE])


def asked(cells: Cells) -> AblationPass:
    """The pass at the last checkpoint; raises NotMeasurable where the run's tokenizer cannot encode code."""
    on_code, cfg = cells_on_code(cells), cells.run.model_config()
    heads = [head_name(head) for head in all_heads(cfg) if head[0] == cfg.n_layers - 1]
    return ablation_pass.of_heads(on_code.inputs, cells.run.steps[-1], min(TOKENS, on_code.inputs.free_tokens), heads)


def effects(cells: Cells) -> xr.Dataset:
    """`ablation_pass.kept`: the effect of removing each head of the last layer (mean ablation) on tokens of code."""
    return ablation_pass.kept(cells_on_code(cells), asked(cells))


def missing(cells: Cells) -> list[Job]:
    """The jobs that `effects` lacks."""
    return ablation_pass.missing(cells_on_code(cells), asked(cells))


def compute(cells: Cells, executor: Executor) -> None:
    """Computes what `effects` lacks."""
    ablation_pass.run(cells_on_code(cells), missing(cells), executor)
