"""A circuit as a hypothesis: the five tests of Shi et al. (arXiv:2410.13032), each with what it takes to believe it.

    equivalence        the circuit alone does as well as the model (equivalence.py)
    independence       without the circuit nothing of the task is left (independence.py)
    minimality         each path matters more than a random path of a circuit that random paths were added to
    sufficiency        the circuit alone is more faithful than random sets of as many paths
    partial necessity  without the circuit the model does worse than without random sets of as many other paths

The last three are against_random.py's. Minimality is a test for each path: its p-values are adjusted (Holm 1979), which
the public code of the paper does not do.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ablations.forward import Weights
from ablations.models import Config
from ablations.not_measurable import NotMeasurable
from ablations.paths import Path
from ablations.running import as_in_workers, tracked
from circuits.against_random import AgainstRandom, against_random
from circuits.discover_paths import candidates, parted, without
from circuits.equivalence import Equivalence, equivalence
from circuits.independence import Independence, independence
from circuits.patched_metric import PatchedMetric, patched_metric
from circuits.tasks import Metric, Task, logit_difference

DRAWS, LEVEL = 100, 0.05
TIE = 1e-3  # of what all paths do to the metric: a difference that counts as none


class Hypotheses(NamedTuple):
    """What the tests say of a circuit."""

    equivalence: Equivalence
    independence: Independence
    minimality: dict[Path, AgainstRandom]  # values: faithfulness that changes without the path; p adjusted over paths
    sufficiency: AgainstRandom  # values: minus the distance of the faithfulness from 1
    partial_necessity: AgainstRandom  # values: the share of the task that is lost without the circuit

    def holds(self) -> dict[str, bool]:
        """Each hypothesis by name, at 5%. Independence holds where nothing of the task was seen, minimality where every
        path passes.
        """
        return {
            "equivalence": self.equivalence.p < LEVEL,
            "independence": self.independence.p >= LEVEL,
            "minimality": all(found.p < LEVEL for found in self.minimality.values()),
            "sufficiency": self.sufficiency.p < LEVEL,
            "partial necessity": self.partial_necessity.p < LEVEL,
        }


@as_in_workers()
def hypotheses(
    weights: Weights,
    cfg: Config,
    task: Task,
    circuit: Sequence[str | Path],
    metric: Metric = logit_difference,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Hypotheses:
    """All five tests of a set of paths, among all `candidates`.

    draws: random sets for each of the last three; minimality of n paths needs at least log(n / 0.05) / log(1 / 0.9) of
    them to show anything. Raises ValueError for a path that the model does not have, an empty circuit and no draws;
    NotMeasurable where the model does not do the task, or fewer paths are outside the circuit than in it, so that there
    is nothing to compare with.
    """
    every, (circuit, outside) = candidates(cfg), parted(circuit, cfg)
    if not circuit or draws < 1:
        raise ValueError(
            f"{len(circuit)} paths, draws={draws}: give a circuit of a path or more, and draw at least once"
        )
    if len(outside) < len(circuit):
        raise NotMeasurable(
            f"{len(outside)} paths are outside the circuit, {len(circuit)} in it: too few to compare with"
        )
    patched, generator = patched_metric(weights, cfg, task, metric), np.random.default_rng(seed)
    alone, clean = patched.by_prompt(outside), patched.by_prompt(())
    complement, none = (patched.logits(paths)[:, -1] for paths in (circuit, every))
    lost = 1 - patched.share(circuit)
    kept = [_drawn(generator, every, len(circuit)) for _ in range(draws)]
    cut = [_drawn(generator, outside, len(circuit)) for _ in range(draws)]
    sufficient = [-abs(1 - patched.share(without(every, one))) for one in tracked(kept, "random circuits")]
    necessary = [1 - patched.share(one) for one in tracked(cut, "random complements")]
    return Hypotheses(
        equivalence(alone, clean, tie=TIE * abs(patched.whole - patched.none)),
        independence(task, complement, none, 1 - lost),
        _minimality(patched, circuit, outside, cut, generator),
        against_random(-abs(1 - patched.share(outside)), np.array(sufficient)),
        against_random(lost, np.array(necessary)),
    )


def _minimality(
    patched: PatchedMetric,
    circuit: Sequence[Path],
    outside: Sequence[Path],
    added: Sequence[Sequence[Path]],
    generator: np.random.Generator,
) -> dict[Path, AgainstRandom]:
    """What the circuit's faithfulness changes by without each path, against what that of the circuit with random paths
    added changes by without one of these.
    """
    faithful = patched.share(outside)
    others = []
    for some in tracked(added, "circuits with random paths"):
        left = without(outside, some)
        one = some[int(generator.integers(len(some)))]
        others.append(abs(patched.share(left) - patched.share([*left, one])))
    found = {
        path: against_random(abs(faithful - patched.share([*outside, path])), np.array(others)) for path in circuit
    }
    adjusted = holm([one.p for one in found.values()])
    return {path: one._replace(p=p) for (path, one), p in zip(found.items(), adjusted, strict=True)}


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted so that the chance of any false one is bounded (Holm 1979)."""
    order = np.argsort(p)
    steps = np.maximum.accumulate([min(1.0, (len(p) - rank) * p[at]) for rank, at in enumerate(order)])
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted.tolist()


def _drawn(generator: np.random.Generator, among: Sequence[Path], size: int) -> list[Path]:
    return [among[number] for number in generator.permutation(len(among))[:size]]
