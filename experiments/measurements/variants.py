"""The ways of measuring learning coefficients: the plan with one thing changed (text, loss, settings, gauge).

What can be is measured by independent draws, at every checkpoint; other settings and random gauges by chains. Runs
whose chains were sampled before there were draws keep them: `of_way` takes the table that is there.
"""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.jobs import runner
from experiments.jobs.job import Job
from experiments.measurements.curvature import CURVATURE
from experiments.measurements.draws import DRAWS
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.labels import heads_by_layer
from experiments.measurements.rllc import RLLC
from experiments.measurements.susceptibilities import SUSCEPTIBILITIES
from experiments.measurements.token_map import TOKEN_MAP
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.results.plan import Plan, evenly_chosen, sampler_of
from experiments.runs.run import Run
from llc.intervals import noise_half_widths, with_half_widths
from llc.settings import MINI

FEW, FEWER = 9, 5  # checkpoints that are sampled, at most: where curves are read, and where they are held against these
EVERY = 24  # of draws, and of the whole model's coefficient where a run has as many as its turns need
TURNS = 20  # checkpoints that turns of the whole model's coefficient need
EARLY = 0.17  # of the training
MAIN, CODE, RELATIVE, RECALIBRATED, BALANCED = "training", "code", "one-layer", "recalibrated", "balanced"
OTHER_TEXTS = {"code": "python:code", "prose": "python:prose", "C++": "cpp"}
RANDOM = ("random 1", "random 2")
Quantity = Literal["value", "noise_value"]
VALUE: Quantity = "value"  # the learning coefficient
NOISE: Quantity = "noise_value"  # nbeta E0[dL], the rise of the loss under the localization's own noise
SURVIVAL = {"recalibrated settings": RECALIBRATED, "balanced gauge": BALANCED}


def ways(plan: Plan) -> dict[str, Plan]:
    """The plan of each way, by its name. Random gauges, and code in other settings, at the last checkpoint alone."""
    few, fewer, last = (replace(plan, llc_checkpoints=count) for count in (FEW, FEWER, 1))
    fewer_mini, last_mini = (replace(one, llc=MINI, sampler=sampler_of(MINI)) for one in (fewer, last))
    return {
        MAIN: few,
        RELATIVE: replace(few, reference="last"),
        CODE: replace(fewer, corpus="python:code"),
        RECALIBRATED: fewer_mini,
        BALANCED: replace(fewer, gauge="balanced"),
        f"{CODE}, {RECALIBRATED}": replace(last_mini, corpus="python:code"),
        f"{CODE}, {BALANCED}": replace(last, corpus="python:code", gauge="balanced"),
        f"{RELATIVE}, {RECALIBRATED}": replace(fewer_mini, reference="last"),
        f"{RELATIVE}, {BALANCED}": replace(fewer, reference="last", gauge="balanced"),
        **{name: replace(last, gauge=name) for name in RANDOM},
    }


def drawn_ways(plan: Plan) -> dict[str, Plan]:
    """The plan of each way that independent draws measure: text and reference model, in both gauges."""
    trained = replace(plan, llc_checkpoints=EVERY)
    by_text = {
        MAIN: trained,
        CODE: replace(trained, corpus="python:code"),
        RELATIVE: replace(trained, reference="last"),
    }
    balanced = {name: replace(one, gauge="balanced") for name, one in by_text.items()}
    return by_text | {BALANCED if name == MAIN else f"{name}, {BALANCED}": one for name, one in balanced.items()}


def texts(cells: Cells) -> dict[str, Plan]:
    """The plan of the whole model's coefficient on each text: its own, code, prose, and a foreign one."""
    own = EVERY if len(cells.run.steps) >= TURNS else FEW
    main, fewer = (replace(cells.plan, llc_checkpoints=count) for count in (own, FEWER))
    return {MAIN: main, **{name: replace(fewer, corpus=corpus) for name, corpus in OTHER_TEXTS.items()}}


def middle_step(run: Run) -> int:
    """The checkpoint nearest (in log step) to 17% of the training, as the paper's early snapshot (8,500 of 50,000)."""
    later = [step for step in run.steps if step > 0]
    return min(later, key=lambda step: abs(np.log(step / (EARLY * later[-1]))))


def in_way(cells: Cells, way: str) -> Cells:
    """The cells of one way, sampled by chains."""
    return replace(cells, plan=ways(cells.plan)[way])


def of_way(cells: Cells, way: str) -> "Sampled":
    """The table of one way, whose value, se and noise_value [step, restriction] claims read: independent draws, or the
    chains where draws do not measure it, or where these were sampled and draws of the last checkpoint were not.
    """
    chains, drawn = Sampled(in_way(cells, way), RLLC), drawn_ways(cells.plan)
    if way not in drawn:
        return chains
    draws = Sampled(replace(cells, plan=drawn[way]), DRAWS)
    begun = not draws.cells.missing(
        DRAWS, cells.run.steps[-1], restrictions=heads_by_layer(cells.run.model_config())[0]
    )
    return draws if begun or chains.missing() else chains


def coefficients(cells: Cells, way: str) -> xr.Dataset:
    """`Sampled.coefficients` of one way."""
    return of_way(cells, way).coefficients()


def of_whole_model(cells: Cells) -> Cells:
    """The cells with the whole model's coefficient on the run's own text."""
    return replace(cells, plan=texts(cells)[MAIN])


def at_few(cells: Cells) -> Cells:
    """The cells with curvature, and learning coefficients by chains, at few checkpoints."""
    return cells.planned(llc_checkpoints=FEW)


def few_steps(cells: Cells) -> list[int]:
    """The few checkpoints of `at_few`."""
    return evenly_chosen(cells.run.steps, FEW)


class Sampled(NamedTuple):
    """A table that takes long, as a part of a sweep."""

    cells: Cells
    kind: Kind

    def missing(self) -> list[Job]:
        """The jobs that the table lacks."""
        return self.cells.missing_tables([self.kind])

    def coefficients(self) -> xr.Dataset:
        """A table of heads with half_width and noise_half_width, half the 95% intervals of value and noise_value;
        measured here where it is missing.
        """
        table = self.cells.table(self.kind)
        if self.kind is DRAWS:
            return table
        return with_half_widths(table).assign(noise_half_width=noise_half_widths(table))


def sampled(cells: Cells) -> list[Sampled]:
    """All tables that take long, of the texts that the run's tokenizer can encode."""
    tables = [of_way(cells, way) for way in ways(cells.plan) | drawn_ways(cells.plan)]
    tables += [Sampled(replace(cells, plan=plan), FULL_LLC) for plan in texts(cells).values()]
    tables.append(Sampled(cells, TOKEN_MAP))
    return [table for table in (*tables, Sampled(at_few(cells), CURVATURE)) if _readable(table.cells, cells)]


def missing_susceptibilities(cells: Cells) -> list[Job]:
    """The jobs that the map of tokens rests on; nothing where it is there."""
    return cells.missing_tables([SUSCEPTIBILITIES], cells.run.steps[-1:]) if cells.missing_tables([TOKEN_MAP]) else []


def _readable(cells: Cells, own: Cells) -> bool:
    """Whether the text can be read: a vocabulary of words has no tokens for code."""
    if cells.plan.corpus == own.plan.corpus:
        return True
    try:
        return len(cells.inputs.train) > 0
    except NotMeasurable:
        return False


def compute_ways(cells: Cells, names: Iterable[str], executor: Executor) -> None:
    """Samples every head's coefficients in some of the ways."""
    runner.run([job for way in names for job in of_way(cells, way).missing()], executor, cells.run.name)


def compute_full(cells: Cells, executor: Executor) -> None:
    """Samples the whole model's coefficient on all texts."""
    tables = (replace(cells, plan=plan) for plan in texts(cells).values())
    runner.run([job for table in tables for job in table.missing_tables([FULL_LLC])], executor, cells.run.name)


def compute_curvature(cells: Cells, executor: Executor) -> None:
    """Computes traces of the Hessian and of the Fisher information."""
    runner.run(at_few(cells).missing_tables([CURVATURE]), executor, cells.run.name)
