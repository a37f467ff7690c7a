"""Everything that the findings need, as jobs; and what of it is committed beside the bundled runs."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from ablations.not_measurable import NotMeasurable
from experiments.heldout import ablation_pass, head_types, multigram_moves, overlap_changes, syntax_shares
from experiments.heldout.head_types import HEAD_TYPES
from experiments.heldout.multigram_moves import MULTIGRAM_MOVES
from experiments.heldout.overlap_changes import OVERLAP_CHANGES
from experiments.heldout.syntax_shares import SYNTAX_SHARES
from experiments.jobs import runner
from experiments.jobs.job import Job, JobsFailed
from experiments.measurements import over_nbeta
from experiments.measurements.kinds import MAIN_JOB
from experiments.measurements.logits import LOGITS
from experiments.measurements.rllc import RLLC
from experiments.measurements.variants import few_steps, middle_step, missing_susceptibilities, sampled
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.study.study import Study, pass_of_types
from experiments.tasks import bracket_effects, closer_odds, induction_cuts
from experiments.tasks.closer_odds import CLOSER_ODDS
from experiments.tasks.induction_cuts import INDUCTION_CUTS

AT_ALL_CHECKPOINTS = tuple(kind for kind in MAIN_JOB if kind is not RLLC)


def compute(study: Study, executor: Executor) -> None:
    """Computes what the findings need and is missing."""
    _run_possible(
        [job for cells in study.cells for job in missing_susceptibilities(cells)], executor, "susceptibilities"
    )
    _run_possible([job for cells in study.cells for job in _measurements(cells)], executor, "measurements")
    _run_possible([job for cells in study.cells for job in _circuit_jobs(cells)], executor, "induction circuits")
    _run_possible([job for cells in study.cells for job in _allowed(syntax_shares.missing, cells)], executor, "code")
    for cells in study.cells:
        asked = bool(of_both_snapshots(cells))
        for step in (*([middle_step(cells.run)] if asked else []), cells.run.steps[-1]):
            head_types.compute(cells, pass_of_types(cells, step), executor)
        if asked:  # effects on single tokens, which types that are known do not need
            ablation_pass.run(cells, ablation_pass.missing(cells, pass_of_types(cells)), executor)


def of_both_snapshots(cells: Cells, known: bool = False) -> list[tuple[Kind, int, dict]]:
    """Cells of the last checkpoint that tell of the early snapshot too: those that are missing, or those that are
    known; none of a run with one layer. Raises NotMeasurable where no text is left for them.
    """
    if cells.run.config["model"]["n_layers"] < 2:
        return []
    last, kinds = cells.run.steps[-1], {OVERLAP_CHANGES: overlap_changes, MULTIGRAM_MOVES: multigram_moves}
    every = [(kind, last, module.parameters(cells)) for kind, module in kinds.items()]
    return [one for one in every if bool(cells.missing(one[0], one[1], **one[2])) != known]


def compute_sampled(study: Study, executor: Executor) -> None:
    """Samples the learning coefficients in all ways, on all texts and over nbeta, and computes the curvatures."""
    jobs = [job for cells in study.cells for job in missing_susceptibilities(cells)]
    runner.run(jobs, executor, "susceptibilities")
    tables = (table for cells in study.cells for table in (*sampled(cells), *over_nbeta.tables(cells)))
    runner.run([job for table in tables for job in table.missing()], executor, "sampling")


def compute_types(study: Study, executor: Executor) -> None:
    """Computes what each head is at the end."""
    for cells in study.cells:
        with contextlib.suppress(NotMeasurable):  # where there is too little text, nothing can be said
            head_types.compute(cells, pass_of_types(cells), executor)


def commit(cells: Cells) -> list[Path]:
    """Writes the tables that take long beside the bundled runs, where `Cells(committed=True)` finds them."""
    written = [table.cells.commit(table.kind) for table in (*sampled(cells), *over_nbeta.tables(cells))]
    with contextlib.suppress(NotMeasurable):
        ablation = pass_of_types(cells)
        written.append(cells.commit(HEAD_TYPES, ablation.step, ablation=ablation.record()))
        written += [cells.commit(kind, step, **given) for kind, step, given in of_both_snapshots(cells, known=True)]
    return written


def commit_all(cells: Cells) -> list[Path]:
    """Writes all that the findings ask for, so that they can be told of a run whose weights are left out."""
    written = [*commit(cells), *(cells.commit(kind) for kind in AT_ALL_CHECKPOINTS), cells.commit(LOGITS)]
    first, last = cells.run.steps[0], cells.run.steps[-1]
    code = syntax_shares.cells_on_code(cells)
    written.append(code.commit(SYNTAX_SHARES, last, **syntax_shares.parameters(cells)))
    for step in (first, last):
        written.append(cells.commit(INDUCTION_CUTS, step, **induction_cuts.parameters(cells)))
    for step in (first, middle_step(cells.run), last):
        written.append(cells.commit(CLOSER_ODDS, step, **closer_odds.parameters(cells)))
    return written


def _run_possible(jobs: list[Job], executor: Executor, description: str) -> None:
    """Runs the jobs; what a run or its text does not allow is left out, and the finding that needs it says so."""
    try:
        runner.run(jobs, executor, description)
    except NotMeasurable:  # of every job
        pass
    except JobsFailed as failed:
        if not all(isinstance(error, NotMeasurable) for error in failed.errors):
            raise


def _measurements(cells: Cells) -> list[Job]:
    steps = sorted({*few_steps(cells), middle_step(cells.run)})
    brackets = [job for step in steps for job in _allowed(bracket_effects.missing, cells, step)]
    tables = [job for table in sampled(cells) for job in table.missing()]
    return [*cells.missing_tables(AT_ALL_CHECKPOINTS), *cells.missing(LOGITS), *tables, *brackets]


def _allowed(missing: Callable[..., list[Job]], cells: Cells, *where: int) -> list[Job]:
    """What is missing; nothing where no text is left for it, or the tokenizer cannot encode the text."""
    try:
        return missing(cells, *where)
    except NotMeasurable:
        return []


def _circuit_jobs(cells: Cells) -> list[Job]:
    """What needs the circuit's heads."""
    return [job for step in (cells.run.steps[0], cells.run.steps[-1]) for job in induction_cuts.missing(cells, step)]
