"""Settings of the sampler: what an estimate depends on besides the model, its loss, the text and the restriction."""

import json
import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of the chains, by devinterp's names. Raises ValueError for values that cannot be sampled.

    The papers write epsilon for lr, n beta for nbeta and gamma for localization.
    """

    name: str  # printed with tables and figures
    lr: float  # step size: the noise of a step has this variance
    nbeta: float  # inverse temperature; 0 samples the localization alone: the negative control of a calibration
    localization: float  # strength of the Gaussian around the weights as trained: its variance is 1 / localization
    batch_size: int  # rows of a minibatch
    num_chains: int
    num_draws: int  # per chain, burn-in included
    num_burnin: int  # draws discarded by the headline value

    def __post_init__(self) -> None:
        for field in ("lr", "nbeta", "localization"):
            object.__setattr__(self, field, self._number(field, float))  # NumPy's and torch's numbers are taken, too
        for field in ("batch_size", "num_chains", "num_draws", "num_burnin"):
            object.__setattr__(self, field, self._number(field, operator.index))
        for field in ("lr", "batch_size", "num_chains"):
            if not 0 < getattr(self, field) < math.inf:
                raise ValueError(f"{field}={getattr(self, field)}: it must be positive and finite")
        for field in ("nbeta", "localization"):
            if not 0 <= getattr(self, field) < math.inf:
                raise ValueError(f"{field}={getattr(self, field)}: it must be finite and not negative")
        if not 0 <= self.num_burnin <= self.num_draws - 4:
            raise ValueError(
                f"num_draws={self.num_draws} with num_burnin={self.num_burnin}: "
                "at least 4 draws must remain; draw more or discard fewer"
            )

    def _number(self, field: str, read: Callable[[Any], Any]) -> Any:
        value = getattr(self, field)
        try:
            return read(value)
        except (TypeError, ValueError, RuntimeError):
            kind = "a number" if read is float else "a whole number"
            raise ValueError(f"{field}={value!r}: it must be {kind}") from None

    def to_json(self) -> str:
        """The settings as JSON, which `from_json` reads and a trace carries."""
        return json.dumps(asdict(self), sort_keys=True)


def from_json(text: str) -> Settings:
    """Reads the settings that a trace carries; raises ValueError for text that holds none."""
    try:
        return Settings(**json.loads(text))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{text!r} holds no settings ({error}): give what `Settings.to_json` writes") from None


def natural_nbeta(n: int) -> float:
    """n / log n: the inverse temperature at which the mean loss rise estimates the WBIC, hence the asymptotic lambda.

    n is the size of the data set whose posterior is meant, in independent samples: rows, for a language model (not
    tokens, which are dependent, and not the rows of a minibatch, which devinterp's default takes). A larger n means a
    colder posterior, one that stays closer to the center; nothing in the sampler depends on n otherwise.
    Watanabe, JMLR 14 (2013); Lau et al., arXiv:2308.12108, Definition 2.
    """
    if not n >= 2:
        raise ValueError(f"n={n}: n / log n needs at least 2 samples")
    return n / math.log(n)


# The settings of arXiv:2410.02984 (its public configurations); it averages all draws, which `value_all_draws` gives.
PAPER = Settings(
    "PAPER", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=32, num_chains=4, num_draws=200, num_burnin=30
)
# The same posterior from fewer rows, chains and draws: a few percent of error in a fraction of the time. The
# minibatch noise stays small beside the Langevin noise (virial ratios of 1.00), so fewer rows do not change the target.
QUICK = Settings(
    "QUICK", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=2, num_chains=2, num_draws=70, num_burnin=30
)
# Recalibrated on the bundled model, for chains of `leimkuhler_matthews`: as large an nbeta as lets the step and
# minibatch noise add at most 5% to the stiffest head (benchmarks/results/excess.json). No nbeta shows a plateau.
MINI = Settings(
    "MINI", lr=5e-4, nbeta=1000.0, localization=200.0, batch_size=4, num_chains=2, num_draws=100, num_burnin=60
)
NAMED = {settings.name: settings for settings in (PAPER, QUICK, MINI)}
