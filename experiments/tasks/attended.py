"""Why the heads of a circuit look where they do on the task's prompts, as pairs of sources (`circuits.score_pairs`)."""

from collections.abc import Sequence

import pandas as pd

from ablations.forward import Weights
from ablations.models import Config
from ablations.names import head_name
from ablations.not_measurable import NotMeasurable
from ablations.paths import Path
from circuits.score_pairs import score_pairs
from circuits.score_sources import strongest_places
from circuits.tasks import Task, is_text


def of_circuit(weights: Weights, cfg: Config, task: Task, circuit: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """`score_pairs` of each head that the circuit reaches through its queries or keys, by name in their order: at the
    places of the clean prompts at which it attends most, as many as there are prompts.
    """
    reached = {path.target for path in circuit if path.via in ("q", "k") and not isinstance(path.target, str)}
    found, text = {}, is_text(task, None).numpy()
    for head in sorted(reached):
        places = strongest_places(weights, cfg, task.clean, head, len(task.clean))
        places = places[text[places[:, 0], places[:, 1]]]
        try:
            found[head_name(head)] = score_pairs(weights, cfg, task.clean, head, places)
        except NotMeasurable:  # all places in one prompt
            continue
    return found
