"""A finding on the mean over seeds of one number of each seed, in which the seed is the unit.

Every such claim is of an effect above 0: a number is turned round where less is claimed. p is exact, by flips of signs;
the interval is Student's t of the same mean, with one degree less than seeds.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ablations.not_measurable import NotMeasurable
from experiments.statistics.seeds import power
from experiments.statistics.seeds.seed_means import SeedMean, seed_mean
from experiments.statistics.shuffles import SHUFFLES, median_of_shuffles
from experiments.study.survival import not_applicable
from experiments.study.verdict import Claim, Control, Finding, Interest, Noise, verdict_of_interval

ALPHA = 0.05
BySeed = Mapping[str, float]  # one number of each run, by its name


def finding(
    claim: Claim,
    by_seed: BySeed,
    *,
    statistic: str,
    interest: Interest,
    controls: Sequence[Control] = (),
    noise: BySeed | None = None,
    survives: dict[str, str] | None = None,
    details: Mapping[str, object] | None = None,
    remarks: Sequence[str] = (),
    untestable: Sequence[str] = (),
    units: str = "",
    alpha: float = ALPHA,
) -> Finding:
    """The finding of judged runs.

    by_seed: the effect in each, above 0 as claimed. noise: the same of nbeta E0[dL] in place of the coefficient.
    untestable: why the precondition is not met, a sentence for each reason; remarks: what else the diagnosis says.
    Raises NotMeasurable where no seed has a number.
    """
    if not by_seed:
        raise NotMeasurable("; ".join(untestable) or "no run has what the claim is about")
    mean, sd = seed_mean(list(by_seed.values())), spread(by_seed)
    each = ", ".join(f"{run} {value:+.3g}" for run, value in by_seed.items())
    return Finding(
        claim=claim,
        statistic=f"{statistic}; mean over seeds",
        value=mean.value,
        interval=mean.interval,
        null=0.0,
        p=mean.p,
        units=units or f"{len(by_seed)} seeds ({', '.join(by_seed)})",
        smallest_detectable=detectable(sd, len(by_seed), interest, alpha),
        controls=tuple(controls),
        survives=not_applicable() if survives is None else survives,
        details={"by seed": dict(by_seed), **(details or {})},
        diagnosis="; ".join([*untestable, each, *remarks]),
        verdict=verdict_of_interval(
            testable=not untestable,
            met=met(mean, alpha),
            interval=mean.interval,
            controls=controls,
            interest=interest.value,
        ),
        alpha=alpha,
        interest=interest,
        seeds_needed=power.seeds_needed(interest.value, sd, alpha),
        noise=None if noise is None else beside_noise(by_seed, noise, alpha),
    )


def met(mean: SeedMean, alpha: float = ALPHA) -> bool:
    """Whether a mean over seeds meets a criterion of p < alpha."""
    return mean.p < alpha


def holds(by_seed: BySeed, alpha: float = ALPHA) -> bool | None:
    """Whether the criterion is met, for `survival`; None without any seed."""
    return met(seed_mean(list(by_seed.values())), alpha) if by_seed else None


def control(name: str, by_seed: BySeed, alpha: float = ALPHA) -> Control:
    """A negative control by the same test; it cannot fire where no seed has a number."""
    if not by_seed:
        return Control(name, None, None, False)
    mean = seed_mean(list(by_seed.values()))
    return Control(name, mean.value, mean.p, met(mean, alpha))


def middle_control(name: str, draw: Callable[[int], BySeed], alpha: float = ALPHA) -> Control:
    """The control of many random draws (by seed number) whose p is the middle one: chance lets one in twenty pass."""
    chosen = median_of_shuffles(lambda seed: control(name, draw(seed), alpha), order=_p_of)
    return chosen._replace(name=f"{name} (the median of {SHUFFLES})")


def _p_of(control: Control) -> float:
    return 1.0 if control.p is None else control.p


def beside_noise(by_seed: BySeed, noise: BySeed, alpha: float = ALPHA) -> Noise:
    """The same statistic of plain noise, and what the coefficients have more of it, paired over seeds."""
    alone = seed_mean(list(noise.values()))
    more = seed_mean([value - noise[run] for run, value in by_seed.items()])
    return Noise(alone.value, alone.interval, alone.p, met(alone, alpha), more.value, more.interval)


def spread(by_seed: BySeed) -> float:
    """The standard deviation between seeds; NaN for one."""
    values = np.array(list(by_seed.values()), dtype=float)
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def detectable(sd: float, seeds: int, interest: Interest, alpha: float = ALPHA) -> str:
    """The smallest effect that so many seeds show with a probability of 80%."""
    smallest = power.smallest_effect(sd, seeds, alpha)
    if not np.isfinite(smallest):
        return f"none: {seeds} seeds give no p below {0.5**seeds:.2g}"
    return f"{smallest:.3g} {interest.unit} (with a probability of 80%)"
