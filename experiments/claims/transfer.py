"""Claim 6: measured against the one-layer model, layer 0 peaks and falls while layer 1 still rises."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.measurements.scores import SCORES
from experiments.measurements.variants import MAIN, RELATIVE, SURVIVAL
from experiments.study.study import Study
from experiments.study.survival import survival
from experiments.study.verdict import Claim, Control, Finding, verdict

CLAIM = Claim(
    number=6,
    name="transfer between layers",
    statement=(
        "measured against a one-layer model's predictions, layer 0's rLLCs peak after the second stage and then fall, "
        "while layer 1's still rise"
    ),
    precondition="the one-layer reference is trained; multigram heads in both layers",
    criterion=(
        "layer 0 falls and layer 1 rises, each beyond 2 standard errors; the cross-entropy rLLC beside it does not"
    ),
    figure="multigram-rllcs",
)
SECOND_STAGE = 0.10  # of the rise of the best previous-token score of layer 0


class Change(NamedTuple):
    """The change of each layer's mean from layer 0's peak to the end, with its error; NaN without an inner peak."""

    peak: int  # step, -1 where there is none
    layer0: float
    layer0_se: float
    layer1: float
    layer1_se: float

    @property
    def found(self) -> bool:
        """Whether layer 0 falls and layer 1 rises, each beyond 2 standard errors."""
        return self.layer0 < -2 * self.layer0_se and self.layer1 > 2 * self.layer1_se

    @property
    def opposite(self) -> bool:
        """Whether layer 0 rises or layer 1 falls, beyond 2 standard errors."""
        return self.layer0 > 2 * self.layer0_se or self.layer1 < -2 * self.layer1_se


def find(study: Study) -> Finding:
    """The multigram heads of each layer; peak and change come from different chains."""
    runs = {cells.run.name: cells for cells in study.cells}
    judged = [cells.run.name for cells in study.judged]
    multigram = {name: _multigram(study.types(cells)) for name, cells in runs.items()}
    second = {name: second_stage(cells.table(SCORES)) for name, cells in runs.items()}

    def of_all(way: str) -> dict[str, Change]:
        return {
            name: change(study.rllc(cells, way), multigram[name], second[name])
            for name, cells in runs.items()
            if all(multigram[name])
        }

    def holds(way: str) -> bool | None:
        if not all(all(multigram[name]) for name in judged):
            return None
        return _found(of_all(f"{RELATIVE}, {way}"), judged) and not _found(of_all(way), judged)

    return judge(of_all(RELATIVE), of_all(MAIN), judged, survival(SURVIVAL, holds))


def _found(changes: dict[str, Change], runs: list[str]) -> bool:
    return all(changes[name].found for name in runs)


def second_stage(scores: xr.Dataset) -> int:
    """The first checkpoint where the best previous-token score of layer 0 has passed a tenth of its rise."""
    best = scores.previous_token.values[:, scores.layer.values == 0].max(1)
    passed = best >= best[0] + SECOND_STAGE * (best[-1] - best[0])
    return int(scores.step.values[np.flatnonzero(passed)[0]])


def change(rllc: xr.Dataset, heads: tuple[list[str], list[str]], second: int) -> Change:
    """The change from layer 0's peak, averaged over the two ways to use one half of the chains for the peak and the
    other for the change. heads: those of layer 0 and of layer 1; second: the step at which the second stage begins.

    Heads share minibatches, so the error of a layer's mean is bounded by the mean of its heads' errors.
    """
    steps = rllc.step.values
    halves = np.array_split(np.arange(rllc.sizes["chain"]), 2)
    means, errors = zip(*(_layer(rllc.sel(restriction=names), halves) for names in heads), strict=True)
    changes = []
    for first, second_half in ((0, 1), (1, 0)):
        peak = int(np.argmax(means[0][first]))
        if not 0 < peak < len(steps) - 1 or steps[peak] < second:
            return Change(-1, *[float("nan")] * 4)
        moved = [float(mean[second_half][-1] - mean[second_half][peak]) for mean in means]
        error = [float(np.hypot(part[second_half][-1], part[second_half][peak])) for part in errors]
        changes.append((int(steps[peak]), moved[0], error[0], moved[1], error[1]))
    _, *numbers = np.mean(np.array(changes, dtype=float), axis=0).tolist()
    return Change(min(step for step, *_ in changes), *numbers)


def _layer(part: xr.Dataset, halves: list[np.ndarray]) -> tuple[Float[np.ndarray, "half step"], np.ndarray]:
    """The mean over heads of each half of the chains, and the bound of its error."""
    value = part.chain_value.transpose("chain", "step", "restriction").values
    error = part.chain_se.transpose("chain", "step", "restriction").values
    mean = np.stack([value[half].mean((0, 2)) for half in halves])
    return mean, np.stack([np.sqrt((error[half] ** 2).sum(0)).mean(1) / len(half) for half in halves])


def judge(
    relative: dict[str, Change], training: dict[str, Change], judged: list[str], survives: dict[str, str]
) -> Finding:
    """Judges the changes of each run against the one-layer model, with those by the next-token loss beside them."""
    used = [name for name in judged if name in relative]
    testable = len(used) == len(judged) and bool(used)
    met, beside = testable and _found(relative, used), testable and _found(training, used)
    against = testable and all(relative[name].opposite for name in used)
    falls = [relative[name].layer0 for name in used]
    worst = max(falls, default=float("nan"))
    error = max((relative[name].layer0_se for name in used), default=float("nan"))
    control = Control("the next-token rLLC of the same heads", None, None, beside)
    return Finding(
        claim=CLAIM,
        statistic="change of layer 0's mean rLLC from its peak to the end (multigram heads), least favourable seed",
        value=worst,
        interval=(worst - 2 * error, worst + 2 * error) if used else None,
        null=0.0,
        p=None,
        units=f"{len(used)} seeds ({', '.join(used)})",
        smallest_detectable=f"a fall of {2 * error:.2f} (2 standard errors)" if used else "none",
        controls=(control,),
        survives=survives,
        details={
            "relative to one layer": {name: own._asdict() for name, own in relative.items()},
            "next-token loss": {name: own._asdict() for name, own in training.items()},
        },
        diagnosis=_diagnosis(relative, used, judged),
        verdict=verdict(testable=testable, met=met, opposite=against and not met, control_fired=beside),
    )


def _diagnosis(relative: dict[str, Change], used: list[str], judged: list[str]) -> str:
    if len(used) < len(judged):
        return f"no multigram heads in both layers of {', '.join(sorted(set(judged) - set(used)))}"
    sentences = []
    for name in used:
        own = relative[name]
        if own.peak < 0:
            sentences.append(f"{name}: layer 0 has no inner peak after the second stage")
        else:
            sentences.append(
                f"{name}: from step {own.peak} layer 0 changes by {own.layer0:+.2f} ± {2 * own.layer0_se:.2f}, "
                f"layer 1 by {own.layer1:+.2f} ± {2 * own.layer1_se:.2f}"
            )
    return "; ".join(sentences)


def _multigram(types: xr.Dataset) -> tuple[list[str], list[str]]:
    """The multigram heads of layer 0 and of layer 1."""
    names = types.restriction.values[types.type.values == "multigram"].tolist()
    return [name for name in names if name.startswith("L0")], [name for name in names if name.startswith("L1")]
