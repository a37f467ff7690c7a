"""What an estimate of a learning coefficient depends on besides model, text and restriction."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Names are devinterp's; the papers write epsilon for lr, n beta for nbeta and gamma for localization."""

    name: str
    lr: float
    nbeta: float
    localization: float
    batch_size: int  # rows of a minibatch
    num_chains: int
    num_draws: int  # per chain, burn-in included
    num_burnin: int  # draws discarded by the headline value

    def __post_init__(self) -> None:
        for field in ("lr", "nbeta", "batch_size", "num_chains"):
            if getattr(self, field) <= 0:
                raise ValueError(f"{field}={getattr(self, field)}: it must be positive")
        if self.localization < 0:
            raise ValueError(f"localization={self.localization}: it must not be negative")
        if not 0 <= self.num_burnin <= self.num_draws - 4:
            raise ValueError(
                f"num_draws={self.num_draws} with num_burnin={self.num_burnin}: "
                "at least 4 draws must remain; draw more or discard fewer"
            )


# The settings of arXiv:2410.02984 (its public configurations); it averages all draws, which `value_all_draws` gives.
PAPER = Settings(
    "PAPER", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=32, num_chains=4, num_draws=200, num_burnin=30
)
# The same posterior from fewer rows, chains and draws: a few percent of error in a fraction of the time. The
# minibatch noise stays small beside the Langevin noise (virial ratios of 1.00), so fewer rows do not change the target.
QUICK = Settings(
    "QUICK", lr=1e-3, nbeta=30.0, localization=200.0, batch_size=4, num_chains=2, num_draws=70, num_burnin=30
)
