"""Discovery of the circuit that does a task on a run: the paths, what else is known of them, how good a circuit."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
import pandas as pd
import xarray as xr

from ablations import forward
from ablations.not_measurable import NotMeasurable
from ablations.paths import ends, parse_path
from circuits import annotate, discover, graph, ways
from circuits.circuit_quality import faithfulness
from circuits.discover import Circuit, RandomCircuits
from circuits.tasks import Task
from experiments.heldout import ablation_pass, head_effects, head_overlap
from experiments.heldout.ablation_pass import AblationPass
from experiments.jobs.job import Job
from experiments.results.cells import Cells
from experiments.results.kind import Kind
from experiments.tasks import attended, hypothesis_tests, path_effects, positions, self_repair, stability, task_prompts
from experiments.tasks.curves import CURVES
from experiments.tasks.hypothesis_tests import HYPOTHESIS_TESTS
from experiments.tasks.positions import POSITIONS
from experiments.tasks.rivals import RIVALS
from experiments.tasks.self_repair import SELF_REPAIR
from experiments.tasks.stability import STABILITY

RANDOM = 12  # random circuits of the same size
OF_PATHS, OF_PAIRS = ("composition", "composition_z"), ("overlap", "overlap_z")


class Discovered(NamedTuple):
    """What was found on a task at a checkpoint."""

    task: str
    step: int
    table: xr.Dataset  # of this step, as `path_effects.table` has it, and eap_ig [path]: EAP-IG's estimate of effects
    graph: nx.DiGraph
    quality: Circuit  # of the paths that are found again on most resamples of the prompts: the circuit
    passed: float  # faithfulness of all paths that pass on all prompts, found again or not
    random: RandomCircuits  # as large
    stability: xr.Dataset  # of what is found on other prompts, as `stability.measure` has it
    tests: xr.Dataset  # of the circuit as a hypothesis, as `hypothesis_tests.measure` has them
    positions: xr.Dataset  # from where to where its paths carry the task, as `positions.measure` has it
    self_repair: xr.Dataset  # what later heads take over from each head, as `self_repair.measure` has it
    attended: dict[str, pd.DataFrame]  # why its heads look where they do, by name, as `attended.of_circuit` has it
    text_tokens: int  # that overlaps are of; 0 where there is no text for them


def missing(cells: Cells, task: str | Task, step: int, steps: Sequence[int] = ()) -> list[Job]:
    """What finds the circuit, where missing, as jobs: effects of all paths at the step and at all others asked for, on
    resampled prompts too, what later heads take over, and effects of all heads on held-out text at the step.
    """
    on_text = _pass_of_heads(cells, step)
    of_text = ablation_pass.missing(cells, on_text) if on_text else []
    of_paths = path_effects.missing(cells, task, sorted({step, *steps}))
    return [*of_paths, *_missing(cells, task, step, STABILITY, SELF_REPAIR), *of_text]


def missing_of_circuit(cells: Cells, task: str | Task, step: int, *, thorough: bool = False) -> list[Job]:
    """What is measured of the circuit once it is found (`missing` comes first), where missing, as jobs: its tests, and
    its positions; where thorough, its rivals and curves of faithfulness over size too.
    """
    return _missing(cells, task, step, HYPOTHESIS_TESTS, POSITIONS, *((RIVALS, CURVES) if thorough else ()))


def _missing(cells: Cells, task: str | Task, step: int, *kinds: Kind) -> list[Job]:
    asked = path_effects.parameters(cells, task)
    return [job for kind in kinds for job in cells.missing(kind, step, **asked)]


def _pass_of_heads(cells: Cells, step: int) -> AblationPass | None:
    """The pass that overlaps rest on; None where the text does not allow it, and graphs go without."""
    try:
        return head_overlap.pass_of_heads(cells, step)
    except NotMeasurable:
        return None


def discover_circuit(cells: Cells, asked: str | Task, step: int, types: Mapping[str, str] | None = None) -> Discovered:
    """Exact effects of all paths, those that pass a false-discovery rate of 5% on all prompts and on most resamples of
    them, and how good a circuit these are.

    asked: a task by its name, or one of one's own. types: what heads are, by name, for the graph. What is missing is
    computed here.
    """
    model = cells.inputs.model(step)
    weights, cfg, task = forward.weights_of(model), model.cfg, task_prompts.asked(cells, asked)
    table, paths = path_effects.table(cells, asked, [step]).isel(step=0), discover.candidates(cfg)
    again = stability.table(cells, asked, step)
    chosen = stability.circuit(cells, step, cfg, **path_effects.parameters(cells, asked))
    estimated = discover.attribution(weights, cfg, task, paths, steps=discover.IG_STEPS)
    whole = annotate.with_composition(graph.from_table(cfg, table), weights, cfg)
    often = dict(zip(again.path.values.tolist(), again.frequency.values.tolist(), strict=True))
    whole = annotate.with_frequency(annotate.with_heads(whole, types), often)
    on_text, tokens = _pass_of_heads(cells, step), 0
    if on_text:
        removed = head_overlap.removed(cells, on_text)
        costs = head_effects.known_or_short(cells, step, on_text)
        whole = annotate.with_heads(whole, effects=head_effects.of_heads(costs))
        whole.graph["head_effects"] = head_effects.graph_words(costs)
        whole, tokens = annotate.with_overlap(whole, removed.shared, removed.size, cfg), removed.tokens
    return Discovered(
        task=task.name,
        step=step,
        table=table.assign(eap_ig=("path", estimated.effect.mean(1))),
        graph=whole,
        quality=discover.evaluate(weights, cfg, task, chosen),
        passed=faithfulness(weights, cfg, task, path_effects.passed(table, cfg)),
        random=discover.random_circuits(weights, cfg, task, len(chosen), RANDOM, cells.plan.seed),
        stability=again,
        tests=hypothesis_tests.table(cells, asked, step),
        positions=positions.table(cells, asked, step),
        self_repair=self_repair.table(cells, asked, step),
        attended=attended.of_circuit(weights, cfg, task, chosen),
        text_tokens=tokens,
    )


def frame(discovered: Discovered) -> pd.DataFrame:
    """One row per path, largest effect first; NaN where a column says nothing about it.

    half_width: half the width of the effect's 95% interval over prompts, by Student's t; passed: at a false-discovery
    rate of 5% on all prompts; frequency: the share of resamples of the prompts in which the path passes; found: both,
    passed and in at least 80% of the resamples; on_way: whether it is found and lies on a way from the embedding to
    the output along found paths; read, scale: the parts of the effect that the target reads and that goes through its
    norm's scale, where it passed.
    """
    table = path_effects.frame(discovered.table, "eap_ig").rename(columns={"found": "passed"})
    paths = [parse_path(name) for name in table.path]
    on_way = ways.on_a_way(discovered.graph)
    edges = [discovered.graph.edges[ends(path)] for path in paths]
    records = [edge[graph.input_of(path)] for edge, path in zip(edges, paths, strict=True)]
    for name in ("found", "frequency"):
        table[name] = [record[name] for record in records]
    table["on_way"] = [(*ends(path), graph.input_of(path)) in on_way for path in paths]
    table["faithfulness_lost"] = [discovered.quality.minimality.get(path, np.nan) for path in paths]
    for name in OF_PATHS:
        table[name] = [record.get(name, np.nan) for record in records]
    for name in OF_PAIRS:
        table[name] = [edge.get(name, np.nan) for edge in edges]
    return table
