"""What eight seeds can show of each claim, from the spread between seeds that are known before any of them is trained.

    python benchmarks/power.py

reads, or measures, what the claims need of the bundled runs, takes every one of them for the spread (also the first,
on which thresholds were fixed: a spread is no verdict), and writes benchmarks/results/power.json: by claim the standard
deviation between seeds, the effect that eight seeds show with a probability of 80% by the test of the claim, the
smallest effect of interest, the probability that eight seeds show it, and the seeds that show it with 80%. Few seeds
know a spread badly: beside each stands what it would be at the upper end of its 95% interval. Powers are those of sign
flips over seeds, also of the claims whose p is permuted.
"""

import json
import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from experiments import runs
from experiments.claims.table import find_all
from experiments.cli.arguments import BUNDLED
from experiments.jobs import device, executors
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.statistics.seeds import power
from experiments.storage.files import write_json
from experiments.study import compute
from experiments.study.over_seeds import spread
from experiments.study.study import Study
from experiments.study.verdict import Finding

SEEDS = 8
OUT = Path(__file__).parent / "results" / "power.json"


@dataclass(frozen=True)
class EverySeed(Study):
    """Runs of which all count, the first too."""

    @property
    def judged(self) -> tuple[Cells, ...]:
        return self.cells


def of_finding(finding: Finding) -> dict:
    """The numbers of one claim; where no spread is known, only why."""
    by_seed = finding.details.get("by seed", {})
    row: dict = {"claim": finding.claim.label, "name": finding.claim.name, "seeds": len(by_seed)}
    if finding.interest is None or len(by_seed) < 2:
        return row | {"reason": finding.diagnosis}
    sd, alpha, degrees = spread(by_seed), finding.alpha, len(by_seed) - 1
    most = sd * math.sqrt(degrees / stats.chi2.ppf(0.025, degrees))
    return row | {
        "unit": finding.interest.unit,
        "alpha": alpha,
        "sd between seeds": sd,
        "upper end of the sd": most,
        f"smallest effect with {SEEDS} seeds": power.smallest_effect(sd, SEEDS, alpha),
        "the same at the upper end": power.smallest_effect(most, SEEDS, alpha),
        "smallest effect of interest": finding.interest.value,
        f"probability to show it with {SEEDS} seeds": power.power(finding.interest.value, sd, SEEDS, alpha),
        "seeds that show it": power.seeds_needed(finding.interest.value, sd, alpha),
    }


def main() -> None:
    opened = [runs.open_run(name) for name in BUNDLED]
    cells = [Cells(Path("results") / run.name, run, default_plan("python", 256), committed=True) for run in opened]
    study = EverySeed(tuple(cells))
    with executors.pool(2, device.for_workers("cpu")) as executor:
        compute.compute(study, executor)
    rows = [of_finding(finding) for finding in find_all(study)]
    machine = f"{os.cpu_count()} cores, {platform.machine()}"  # on which no number depends
    write_json(OUT, {"machine": machine, "runs": list(BUNDLED), "seeds": SEEDS, "claims": rows})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
