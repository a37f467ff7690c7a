"""From which position to which a path carries a task: effects of paths at the positions of one role.

A direct path is read position by position: a query, or the output, reads what was written where it stands itself. What
crosses positions is attention, for which a target's keys and values are read at one position by queries at another. So
a path into keys or values goes from a role to a role:

    written at A    the source writes what it writes on the corrupted prompt at the positions of A alone, and what it
                    writes on the clean one elsewhere
    read at B       of the target's result z, that at the positions of B follows: attention from B to A, and no other,
                    has another score (through k) or another value (through v)

and a path into queries or into the output from a role to itself. Both are exact, by runs again of what follows. Effects
of roles need not sum to that of the path: a softmax and layer norms lie between. Patched at all positions at once the
path has the effect that `discover.path_effects` says. A source that writes the same on both prompts at some positions,
as the embedding does wherever no token is replaced, has an effect of exactly 0 there.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from ablations import forward, padding
from ablations.changes import Change
from ablations.models import Model, as_model
from ablations.paths import LayerNorm, Path, Source, as_paths, path_name
from ablations.running import as_in_workers
from circuits.discover_exact import last_logits, patched_run
from circuits.discover_paths import Effects, candidates, check_paths, effects_of
from circuits.position_runs import Row, Runs, patched, rows_of
from circuits.roles import Roles, by_number, check_roles, induction_roles, named, replaced_roles, task_roles
from circuits.tasks import Metric, Task, logit_difference

__all__ = [
    "ANYWHERE",
    "PositionEffects",
    "Roles",
    "by_number",
    "induction_roles",
    "named",
    "path_positions",
    "replaced_roles",
    "task_roles",
]

ANYWHERE = "any position"  # of what is read


class PositionEffects(NamedTuple):
    """What patching paths at the positions of roles does to the metric, by prompt. A row is a path, the role at which
    its source writes, and the role at which that is read.
    """

    paths: tuple[Path, ...]
    written: tuple[str, ...]
    read: tuple[str, ...]  # ANYWHERE: read wherever it is
    prompts: Int[np.ndarray, " row"]  # in which there are such positions; in others the effect is 0
    effect: Float[np.ndarray, "row prompt"]
    clean: Float[np.ndarray, " prompt"]
    corrupted: Float[np.ndarray, " prompt"]
    p: Float[np.ndarray, " row"]  # as `discover.Effects` has it

    def to_dataframe(self) -> pd.DataFrame:
        """One row each: path, written, read, effect (the mean over all prompts), se, half_width (of its 95% interval
        over prompts, by Student's t), p, prompts.
        """
        count = self.effect.shape[1]
        se = self.effect.std(1, ddof=1) / count**0.5 if count > 1 else np.full(len(self.effect), np.nan)
        columns = {
            "path": [path_name(path) for path in self.paths],
            "written": self.written,
            "read": self.read,
            "effect": self.effect.mean(1),
            "se": se,
            "half_width": stats.t.ppf(0.975, max(count - 1, 1)) * se,
            "p": self.p,
            "prompts": self.prompts,
        }
        return pd.DataFrame(columns)


@as_in_workers()
def path_positions(
    model: Model,
    task: Task,
    paths: str | Path | Sequence[str | Path] | None = None,
    roles: Roles | None = None,
    *,
    metric: Metric = logit_difference,
    layer_norm: LayerNorm = "recompute",
) -> PositionEffects:
    """Exact effects of paths at the positions of one role, and from one role to another.

    Arguments:

        model   any model that runs as pure functions of its weights (`ablations.forward`)
        task    as `discover.path_effects` takes it
        paths   by name or as values; all `discover.candidates` unless given
        roles   of each position of each prompt (`circuits.roles`); `task_roles` unless given
        metric, layer_norm  as of `discover.path_effects`

    A path into queries or into the output has a row for each role, at which it is written and read. One into keys or
    values has for each role a row that says what is lost where that is read at any position, and one for each role of a
    query from which it can be seen in some prompt. Effects are in the metric's units, negative where the path carries
    the task; they need not sum to the path's.

    Raises ValueError for no paths, paths that the model does not have or whose source is the same on all prompts,
    prompts and answers that do not correspond, roles of other prompts, and a model that does not run as pure functions.

    Example:

        >>> from circuits import planted, positions
        >>> plant = planted.induction()
        >>> where = positions.path_positions(plant.model, plant.tasks[0], "L0H1->L1H2.k").to_dataframe()
        >>> largest = where[where.read != positions.ANYWHERE].sort_values("effect").iloc[0]
        >>> largest.written, largest.read
        ('token after it', 'last token')
    """
    model = as_model(model)
    padded = padding.padding_of(model)
    weights = forward.weights_of(model) | padding.mark(padded)
    chosen = list(candidates(model.cfg) if paths is None else dict.fromkeys(as_paths(paths)))
    check_paths(chosen, model.cfg)
    own_roles = task_roles(task, padded) if roles is None else roles
    check_roles(own_roles, task)
    with torch.no_grad():
        run, clean, corrupted = patched_run(weights, model.cfg, task, metric, layer_norm)
        own = patched_run(weights, model.cfg, task._replace(corrupted=task.clean), metric)[0].values
        _check_sources(chosen, own)
        at = padding.moved(padded, task.clean, own_roles.at).to(run.clean.tokens.device)
        runs = Runs(run, own, at, last_logits(run, Change()))
        rows = [row for path in chosen for row in rows_of(at, path, len(own_roles.names))]
        every = [row.path for row in rows]
        effects = effects_of(every, task, metric, (clean, corrupted), runs.before, patched(runs, rows))
    return _record(rows, own_roles.names, effects)


def _record(rows: Sequence[Row], names: Sequence[str], effects: Effects) -> PositionEffects:
    return PositionEffects(
        paths=effects.paths,
        written=tuple(names[row.written] for row in rows),
        read=tuple(ANYWHERE if row.read is None else names[row.read] for row in rows),
        prompts=np.array([row.prompts for row in rows]),
        effect=effects.effect,
        clean=effects.clean,
        corrupted=effects.corrupted,
        p=effects.p,
    )


def _check_sources(paths: Sequence[Path], values: Mapping[Source, Tensor]) -> None:
    if odd := next((path for path in paths if path.source not in values), None):
        raise ValueError(
            f"{path_name(odd)}: its source is the same on all prompts, take paths from heads or from embed"
        )
