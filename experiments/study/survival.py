"""Whether a criterion is met under other ways of measuring learning coefficients too: other settings and gauges."""

from collections.abc import Callable, Mapping

from ablations.not_measurable import NotMeasurable
from experiments.measurements.variants import SURVIVAL


def survival(ways: Mapping[str, str], holds: Callable[[str], bool | None]) -> dict[str, str]:
    """Whether a criterion is met in each of some other ways of measuring, by their labels.

    holds: whether it is in a way, or None where it cannot be tested. The answers are "yes", "no", "not applicable", and
    "not measured" where `holds` raises NotMeasurable.
    """
    answers = {}
    for label, way in ways.items():
        try:
            met = holds(way)
        except NotMeasurable:  # the run has no such coefficients, nor what they need
            answers[label] = "not measured"
        else:
            answers[label] = "not applicable" if met is None else "yes" if met else "no"
    return answers


def not_applicable() -> dict[str, str]:
    """The answers of a claim that does not rest on learning coefficients, or that cannot be tested."""
    return dict.fromkeys(SURVIVAL, "not applicable")
