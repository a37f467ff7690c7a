"""Learning coefficients of the toy model by the project's sampler: at each k-gon, and where training passes."""

from typing import Any

from experiments.settings.parts import Place
from experiments.settings.superposition.critical import POINTS
from experiments.settings.superposition.loss import population
from llc import learning_coefficient, mala, sample_function
from llc.settings import Settings

NBETAS = (3e3, 3e4, 3e5)
SECONDS = 120.0


def cold(nbeta: float) -> Settings:
    """Chains of the Metropolis-adjusted sampler. The localization keeps the free directions within their phase."""
    return Settings(f"nbeta {nbeta:g}", 1 / nbeta, nbeta, 300.0, 1, num_chains=48, num_draws=700, num_burnin=200)


def at_points(place: Place) -> dict[str, Any]:
    """By critical point and nbeta: the estimate and its interval."""
    return {
        point.name: {f"{nbeta:g}": estimate(point.point, cold(nbeta), seed) for nbeta in NBETAS}
        for seed, point in enumerate(POINTS)
    }


def estimate(center, settings: Settings, seed: int) -> list[float]:  # type: ignore[no-untyped-def]
    """Value, low and high end of the 95% interval, acceptance."""
    trace = sample_function(population, center, settings=settings, seed=seed, kernel=mala)
    found = learning_coefficient(trace)
    low, high = found.interval.values.tolist()
    return [float(found.value), low, high, float(trace.acceptance.mean())]
