"""Claims about heads of layer 0 that work with heads of layer 1 need both layers."""

from ablations.not_measurable import NotMeasurable
from experiments.results.cells import Cells


def need_two_layers(cells: Cells) -> None:
    """Raises NotMeasurable for a run with one layer."""
    if cells.run.config["model"]["n_layers"] < 2:
        raise NotMeasurable(f"run {cells.run.name} has one layer: no head reads what another writes")
