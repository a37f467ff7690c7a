"""The measurements of the main job, at every checkpoint of a run; a new one is a file beside this and a line here."""

from experiments.measurements.ablations import ABLATIONS
from experiments.measurements.composition import COMPOSITION
from experiments.measurements.induction_heads import INDUCTION_HEADS
from experiments.measurements.paths import PATHS
from experiments.measurements.predictions import PREDICTIONS
from experiments.measurements.rllc import RLLC
from experiments.measurements.scores import SCORES
from experiments.results.kind import Kind

MAIN_JOB: tuple[Kind, ...] = (
    SCORES,
    COMPOSITION,
    ABLATIONS,
    PATHS,
    PREDICTIONS,
    INDUCTION_HEADS,
    RLLC,
)
