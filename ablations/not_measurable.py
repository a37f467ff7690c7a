"""What is raised where a model or its text does not allow a measurement, so that callers can say so and go on.

Any other error is a mistake of the caller or of the program, and is never taken for a finding.
"""


class NotMeasurable(ValueError):
    """The model, the run or the text does not allow what was asked; the message says what would."""
