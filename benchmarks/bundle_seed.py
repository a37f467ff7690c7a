"""A training seed of the `small` preset as a bundled run: all that the claims ask of it, beside the program.

    python benchmarks/bundle_seed.py 3 --keep 8400 20000

trains seed 3 and its one-layer reference into runs/ (about an hour on two cores; resumes what is there), rounds all
checkpoints to float16 into experiments/zoo/small-seed3 and small-seed3-1layer, measures what the claims need there
(experiments/study/compute.py; resumable), commits the tables beside the bundled runs, and leaves out the weights but
those of --keep, of the reference all but those of --keep-reference. It prints no finding: verdicts come from eight
seeds in one look. At the end it tries whether every claim finds what it asks for without the weights left out.
"""

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from experiments import runs
from experiments.claims.table import find_all
from experiments.jobs import device, executors
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.runs import presets, train
from experiments.runs.places import files_of_steps
from experiments.runs.run import Run, leave_out
from experiments.runs.trajectory import FOLDER as TRAJECTORY
from experiments.study import compute
from experiments.study.study import Study

PRESET = "small"


def rounded(run: Run) -> Run:
    """The run in the zoo with all its checkpoints and further steps, of which the claims' tables are told."""
    folder = runs.ZOO / run.name
    if not folder.exists():
        runs.export(run, folder, run.steps)
        if (run.folder / TRAJECTORY).is_dir():  # which is in float16 already
            shutil.copytree(run.folder / TRAJECTORY, folder / TRAJECTORY)
    return runs.open_run(folder)


def measure(cells: Cells, executor: Executor) -> None:
    """Computes all that the claims need, and commits it."""
    study = Study((cells,))
    compute.compute_sampled(study, executor)
    compute.compute(study, executor)
    compute.compute_types(study, executor)
    for path in compute.commit_all(cells):
        print(f"committed {path.name}")


def lacking(cells: Cells) -> list[str]:
    """The claims that ask for weights which were left out."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study((replace(cells, folder=Path(folder), committed=True),))
        return [f.claim.label for f in find_all(study) if "has no weights of step" in f.diagnosis]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=int)
    parser.add_argument("--keep", type=int, nargs="*", default=[8400, 20000])
    parser.add_argument("--keep-reference", type=int, nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    preset = presets.get(PRESET)
    made = []
    for layers in (1, 2):  # the reference first: the claims need it
        folder = Path("runs") / train.run_name(preset, given.seed, layers)
        made.append(rounded(train.train(preset, given.seed, layers, folder)))
    reference, run = made
    cells = Cells(Path("results") / run.name, run, default_plan("python", run.config["model"]["n_ctx"]))
    with executors.pool(given.workers, device.for_workers("cpu")) as executor:
        measure(cells, executor)
    for one, kept in ((run, given.keep), (reference, given.keep_reference)):
        further = one.folder / TRAJECTORY
        if further.is_dir() and files_of_steps(further):
            leave_out(further, [])
        if set(kept) < set(files_of_steps(one.folder)):
            leave_out(one.folder, kept)
    left = lacking(replace(cells, run=runs.open_run(run.folder)))
    sys.exit(f"claims {', '.join(left)} ask for weights that are not kept" if left else 0)


if __name__ == "__main__":
    main()
