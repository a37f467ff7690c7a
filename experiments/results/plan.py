"""How much the main job measures, and on what: the arguments of `reproduce` that a result depends on."""

import re
from dataclasses import asdict, dataclass

from llc.settings import MINI, QUICK, Settings

TRAINED = "trained"  # the gauge of the weights as they are
SGLD, VARIATE = "sgld", "-cv"  # the sampler of the papers; the end of a sampler's name that says control variate
SAMPLERS = tuple(f"{name}{end}" for name in (SGLD, "leimkuhler-matthews") for end in ("", VARIATE))


def sampler_of(settings: Settings) -> str:
    """The sampler that settings with a name were chosen for."""
    return "leimkuhler-matthews" if settings.name == MINI.name else SGLD


@dataclass(frozen=True)
class Plan:
    """Sizes are numbers of sequences; steps are chosen from those the run has."""

    corpus: str  # held-out text of this corpus is measured, its train split is sampled on
    period: int  # tokens that are repeated once, for copy gains
    matching_period: int  # tokens that stand four times, for prefix matching
    affected_tokens: int  # in which the induction head's most affected are looked for, at most
    text_rows: int = 64  # of the whole context, for losses and attention
    reference_rows: int = 64  # for the mean of a head's output, and as donors of resampled ones
    ablation_rows: int = 32
    score_sequences: int = 64  # repeated ones
    path_sequences: int = 32
    circuit_sequences: int = 128
    sampled_rows: int = 4096  # of the train split, from which rLLC minibatches are drawn
    llc: Settings = QUICK
    llc_checkpoints: int = 24  # at most, evenly spaced among those of the run
    reference: str = ""  # rLLCs refined by the one-layer run: its "last" checkpoint, or that of the "same" step
    gauge: str = TRAINED  # of the weights, for rLLCs, or "balanced", "random 1", ...; the function stays as it is
    sampler: str = SGLD  # of the chains of rLLCs: one of SAMPLERS
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in self.record().items():
            if isinstance(value, int) and value < (0 if name == "seed" else 1):
                raise ValueError(f"{name}={value}: it must {'not be negative' if name == 'seed' else 'be at least 1'}")
        if self.reference not in ("", "last", "same"):
            raise ValueError(f"reference={self.reference!r}: it is last, same, or empty for the next-token loss")
        if not re.fullmatch(rf"{TRAINED}|balanced|random \d+", self.gauge):
            raise ValueError(f"gauge={self.gauge!r}: it is trained, balanced or random N")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler={self.sampler!r}: it is one of {', '.join(SAMPLERS)}")

    def record(self) -> dict:
        """All fields as JSON values."""
        return asdict(self)

    @property
    def of_others(self) -> str:
        """What labels of rLLCs add where gauge or sampler are not the default, such as ", balanced gauge"."""
        parts = ("" if self.gauge == TRAINED else f"{self.gauge} gauge", "" if self.sampler == SGLD else self.sampler)
        return "".join(f", {part}" for part in parts if part)

    @property
    def of_settings(self) -> str:
        """What labels of rLLCs call the plan's settings."""
        return f"{self.llc.name} settings{self.of_others}"

    def sampled_steps(self, steps: list[int]) -> list[int]:
        """Those of a run's steps at which learning coefficients are sampled."""
        return evenly_chosen(steps, self.llc_checkpoints)


def default_plan(corpus: str, n_ctx: int, seed: int = 0) -> Plan:
    """The plan for a model with this context: half of it, and at most 64 tokens, is repeated.

    Prefix matching is measured as by Olsson et al. (2022): 25 tokens, four times.
    """
    return Plan(
        corpus=corpus,
        period=min(64, n_ctx // 2),
        matching_period=min(25, n_ctx // 4),
        affected_tokens=400 * n_ctx,
        seed=seed,
    )


def evenly_chosen(steps: list[int], count: int) -> list[int]:
    """Chooses at most `count` of a run's checkpoints, evenly spaced in order (so about log-spaced), first and last too.

    One checkpoint is the last.
    """
    if len(steps) <= count:
        return steps
    if count == 1:
        return steps[-1:]
    return sorted({steps[round(i * (len(steps) - 1) / (count - 1))] for i in range(count)})
