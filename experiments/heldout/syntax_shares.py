"""Of each head of the last layer the share of syntax tokens among the tokens of code that it affects most.

It rests on a pass over held-out code, much shorter than the one that head types rest on: a few hundred tokens are
looked at of each head.
"""

import numpy as np
import xarray as xr

from ablations.names import all_heads, head_name
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import PASS, AblationPass
from experiments.jobs.job import Job
from experiments.measurements.variants import CODE, OTHER_TEXTS
from experiments.results.cells import Cells
from experiments.results.committed import whole
from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters, last_checkpoint

TOKENS = 200_000  # of held-out code, or all where there are fewer
MOST_AFFECTED = 200  # tokens of each head


def cells_on_code(cells: Cells) -> Cells:
    """The cells of the same run on code."""
    return cells.planned(corpus=OTHER_TEXTS[CODE])


def table(cells: Cells) -> xr.Dataset:
    """What `measure` says at the last checkpoint; NotMeasurable where the run's tokenizer cannot encode code."""
    return cells_on_code(cells).get(SYNTAX_SHARES, cells.run.steps[-1], **parameters(cells))


def parameters(cells: Cells) -> dict:
    """The pass over code."""
    return {"ablation": asked(cells).record()}


def asked(cells: Cells) -> AblationPass:
    """The pass at the last checkpoint, of the heads of the last layer."""
    on_code, cfg = cells_on_code(cells), cells.run.model_config()
    heads = [head_name(head) for head in all_heads(cfg) if head[0] == cfg.n_layers - 1]
    return ablation_pass.of_heads(on_code.inputs, cells.run.steps[-1], min(TOKENS, on_code.inputs.free_tokens), heads)


def missing(cells: Cells) -> list[Job]:
    """The jobs of the pass, nothing where `table` is there."""
    on_code = cells_on_code(cells)
    if not on_code.missing(SYNTAX_SHARES, cells.run.steps[-1], **parameters(cells)):
        return []
    return ablation_pass.missing(on_code, asked(cells))


def measure(inputs: Inputs, step: int, cells: Cells, ablation: Parameters) -> xr.Dataset:
    """share [restriction]: of the 200 tokens whose loss its removal raises most, those without letter or digit."""
    kept = ablation_pass.kept(cells, ablation_pass.of_record(ablation, step))
    decode = inputs.run.tokenizer.decode
    tokens, home = np.unique(kept.target.values, return_inverse=True)
    texts = [decode([int(token)], skip_special_tokens=False).strip() for token in tokens]
    syntax = np.array([not any(character.isalnum() for character in text) for text in texts])[home]
    effects = kept.effect.transpose("change", "token").values
    shares = [syntax[np.argsort(-effect, kind="stable")[:MOST_AFFECTED]].mean() for effect in effects]
    return xr.Dataset({"share": ("restriction", np.array(shares))}, {"restriction": kept.change.values.tolist()})


SYNTAX_SHARES = Kind(
    "syntax_shares",
    (1, *PASS.version),
    measure,
    steps=last_checkpoint,
    plan_fields=PASS.plan_fields,
    seconds=2.0,
    keeps=whole,
)
