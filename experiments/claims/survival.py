"""Whether a criterion is met under other ways of measuring too; how many shuffles a control draws."""

from collections.abc import Callable, Mapping

from ablations.not_measurable import NotMeasurable

SHUFFLES = 3  # of a control: by luck alone their median passes a test at 5% in 1 of 140


def survival(ways: Mapping[str, str], holds: Callable[[str], bool | None]) -> dict[str, str]:
    """Whether a criterion is met in other ways of measuring: holds says it of a way, None where it cannot be tested."""
    answers = {}
    for label, way in ways.items():
        try:
            met = holds(way)
        except NotMeasurable:  # the run has no such coefficients, nor what they need
            answers[label] = "not measured"
        else:
            answers[label] = "not applicable" if met is None else "yes" if met else "no"
    return answers
