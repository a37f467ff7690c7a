"""The setting superposition: k-gons, training from one to the next, and the posterior's transition over n."""

from matplotlib.figure import Figure

from experiments.settings.parts import Measured, Part
from experiments.settings.superposition import coefficients, laws, picture, posterior, training
from experiments.settings.table import Row

CAPTION = (
    "The toy model of superposition, two hidden dimensions and six features. First: the loss of 48 SGD runs; "
    "dashed, the losses of the k-gons. Second: the learning coefficient on each plateau, at nbeta 3,000 (95% "
    "intervals); lines join the plateaus of a seed that passes from one k-gon to another. Third: the coefficient "
    "at each k-gon over nbeta (95% intervals); bars, half the number of directions in which the loss rises. "
    "Fourth: the share of the posterior with so many features represented, over n (95% intervals from 8 "
    "replicas), and the n at which theory expects 5- and 6-gons to be as likely."
)


def parts() -> list[Part]:
    """The coefficients at the k-gons, training with its plateaus, and the posterior over n."""
    return [
        Part("coefficients", coefficients.SECONDS, coefficients.at_points),
        Part("training", training.SECONDS, training.train),
        Part("posterior", posterior.SECONDS, posterior.sample),
    ]


def rows(measured: Measured) -> list[Row]:
    """The table (laws.py)."""
    return laws.rows(measured)


def draw(measured: Measured) -> Figure:
    """The figure (picture.py)."""
    return picture.draw(measured)
