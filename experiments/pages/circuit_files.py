"""A discovered circuit in words, as graph files, a table, pictures and a page; and how it formed."""

import shlex
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import xarray as xr

from circuits import graph, scale_part, ways
from circuits.circuit_hypotheses import LEVEL
from circuits.stability import STABLE
from circuits.tasks import Task
from experiments.figures import files
from experiments.pages import (
    circuit_attended,
    circuit_change,
    circuit_page,
    circuit_positions,
    circuit_rivals,
    circuit_self_repair,
    path_files,
)
from experiments.pages.circuit_rivals import Compared
from experiments.plots import circuit as picture
from experiments.plots import faithfulness
from experiments.plots.render import svg
from experiments.results.cells import Cells
from experiments.results.file_names import flags, variant
from experiments.runs.run import tokens_seen
from experiments.storage.files import as_json, write_bytes
from experiments.tasks import circuit_difference, path_effects, positions
from experiments.tasks.circuit_difference import Difference
from experiments.tasks.discovery import Discovered, frame


def sentences(discovered: Discovered) -> list[str]:
    """What was found and how good a circuit it is, as plain text without full stops."""
    table = discovered.table
    found = sum(record["found"] for *_, record in graph.records(discovered.graph))
    return [
        path_files.task_sentence(table, discovered.task),
        *path_files.few_prompts(table),
        as_stable(discovered.stability, table.found),
        f"The circuit is the {found} of {table.sizes['path']} paths that do both: {_on_ways(discovered, found)}"
        + (f". {_as_good(discovered, found)}" if found else ""),
        as_hypothesis(discovered.tests),
        circuit_self_repair.sentence(discovered.self_repair),
        *_hurting(discovered.graph),
    ]


def _as_good(discovered: Discovered, found: int) -> str:
    """How good a circuit they are, and how good random ones."""
    quality, random = discovered.quality, discovered.random
    return (
        f"Faithfulness of the {found} alone {quality.faithfulness:.2f} (of all that pass on all prompts "
        f"{discovered.passed:.2f}), of all others {quality.completeness:.2f}; of random circuits as large "
        f"{_spread(random.faithfulness)}, of all paths but theirs {_spread(random.completeness)}; without one of its "
        f"paths a random circuit loses {_spread(random.minimality)} ({len(random.faithfulness)} draws)"
    )


def as_stable(again: xr.Dataset, found: xr.DataArray) -> str:
    """How many pass, and how many of these on other prompts too; found: which pass, in the order of `again`."""
    often = int((found.values & (again.frequency.values >= STABLE)).sum())
    return (
        f"{int(found.sum())} paths pass a false-discovery rate of 5%, {often} of them on at least {100 * STABLE:.0f}% "
        f"of {again.attrs['draws']} resamples of the prompts, too; what two resamples find shares "
        f"{100 * float(again.jaccard):.0f}% of its paths (mean Jaccard index; 80% is called stable)"
    )


def as_hypothesis(tests: xr.Dataset) -> str:
    """The five tests, each with what it rests on."""
    if tests.attrs["untested"]:
        return f"As a hypothesis it is not tested: {tests.attrs['untested']}"
    minimal, draws = tests.minimality_p < LEVEL, tests.attrs["draws"]
    words = {
        "equivalence": f"alone it beats the model on {100 * float(tests.equivalence_share):.0f}% of "
        f"{tests.attrs['prompts']} prompts (p of lying outside 50 ± {100 * tests.attrs['margin']:.0f}%: "
        f"{float(tests.equivalence_p):.2g})",
        "independence": f"without it {round(100 * float(tests.independence_share))}% of the task is left "
        f"(p {float(tests.independence_p):.2g})",
        "minimality": f"{int(minimal.sum())} of its {len(minimal)} paths matter more than random ones added to it",
        "sufficiency": f"it is more faithful than {int(tests.sufficiency)} of {draws} random circuits as large",
        "partial necessity": f"more is lost without it than without {int(tests.necessity)} of {draws} random sets of "
        "other paths",
    }
    holds = dict(zip(tests.hypothesis.values.tolist(), tests.holds.values.tolist(), strict=True))
    told = "; ".join(f"{name} {'holds' if holds[name] else 'does not hold'}, {text}" for name, text in words.items())
    return f"As a hypothesis (five tests at 5%): {told}"


def _hurting(whole: nx.DiGraph) -> list[str]:
    """How many of the paths that were found work against the task; nothing where none does."""
    count = sum(record["found"] and record["effect"] > 0 for *_, record in graph.records(whole))
    return [f"{count} of these paths hurt: patching one raises the logit difference"] if count else []


def _on_ways(discovered: Discovered, found: int) -> str:
    """How many of the found paths lie on a way from the embedding to the output, and how many are not read."""
    on_way = len(ways.on_a_way(discovered.graph))
    lie = f"{on_way} lie on a way from the embedding to the output along such paths"
    lie += f", {found - on_way} on none" if on_way < found else ""
    scaled = sum(scale_part.through_scale(record) for *_, record in graph.records(discovered.graph) if record["found"])
    return lie + (f"; of {scaled} less than a tenth is read, they act through a norm's scale" if scaled else "")


def _spread(values: np.ndarray) -> str:
    """The mean of some draws and their standard deviation."""
    return f"{values.mean():.2f} (sd {values.std(ddof=1):.2f})"


def explanation(discovered: Discovered) -> str:
    """What the columns of a table say."""
    overlap = f", and how far both heads matter for the same of {discovered.text_tokens} tokens of held-out text"
    no_overlap = " (the overlap of affected tokens is not measured: there is no text for it)"
    return (
        "effect of patching one path (what its source writes on the corrupted prompt), with its 95% interval over "
        "prompts, negative where the path carries the task; of paths that pass the part of it that the target reads, "
        "and the part that goes through its layer norm's scale; EAP-IG's estimate of it; in how many of the resamples "
        "of the prompts the path passes; faithfulness that the circuit loses without it; for paths between heads, "
        "their composition score in standard deviations above chance"
        + (overlap if discovered.text_tokens else no_overlap)
    )


def as_text(discovered: Discovered, top: int) -> str:
    """The sentences and the `top` strongest paths, for a terminal."""
    lines = [*sentences(discovered), explanation(discovered)]
    for row in frame(discovered).head(top).to_dict("records"):
        again = f"{100 * row['frequency']:>7.0f}%"
        lost = f"{row['faithfulness_lost']:>8.2f}" if pd.notna(row["faithfulness_lost"]) else " " * 8
        numbers = f"{path_files.columns(row)}{row['eap_ig']:>9.2f}{again}{lost}"
        pair = "".join(f"{row[name]:>8.1f}" if pd.notna(row[name]) else " " * 8 for name in circuit_page.PAIR_COLUMNS)
        lines.append(f"{numbers}{pair}  {circuit_page.remark(row)}".rstrip())
    return "\n".join(lines)


def write(
    cells: Cells,
    discovered: Discovered,
    top: int,
    formed: dict[int, nx.DiGraph] | None = None,
    found: Compared | None = None,
    against: Difference | None = None,
    asked: str = "",
) -> list[Path]:
    """Writes circuit_TASK_STEP as graph (node-link and MIB JSON), tables (CSV; one of paths, one of positions), picture
    (SVG and PNG) and page (HTML) with the `top` paths; returns all paths of files.

    The names end with what in the plan is no default (`file_names.variant`). formed: graphs by step, for
    circuit_TASK_formation (node-link JSON and picture), which the page then shows too. found: rivals and curves, for
    circuit_TASK_STEP_curves (picture) and two sentences. against: another circuit, for a section of the page and
    tables/circuit_TASK_STEP_against_OTHER.csv. asked: how the task was asked for, where not by its name.
    """
    own, cfg = variant(cells.run, cells.plan), cells.run.model_config()
    name = f"circuit_{discovered.task}_{discovered.step}{own}"
    title = f"{cells.run.name}, step {discovered.step}: paths that carry {discovered.task}"
    where = positions.frame(discovered.positions)
    drawn = {name: picture.draw(discovered.graph, title)}
    captions = {
        name: f"{title}. Width: effect of patching the path; all that pass, at most {picture.SHOWN}; "
        "dash-dotted: on no way from the embedding to the output along these; dotted: through a norm's scale, less "
        "than a tenth is read; dashed: hurts the task; faint: passes on few "
        f"resamples of the prompts, no part of the circuit below {100 * STABLE:.0f}%."
    }
    contents = {
        f"{name}.json": as_json(graph.node_link(discovered.graph)),
        f"{name}_mib.json": as_json(graph.mib(discovered.graph, cfg)),
        f"tables/{name}.csv": frame(discovered).to_csv(index=False, float_format="%.6g"),
        f"tables/{name}_positions.csv": where.to_csv(index=False, float_format="%.6g"),
    }
    if formed:
        over = f"circuit_{discovered.task}_formation{own}"
        contents[f"{over}.json"] = as_json(graph.formation_node_link(formed))
        drawn[over] = picture.draw_formation(
            _labelled(cells, formed), f"{cells.run.name}: paths that carry {discovered.task}, as they form"
        )
        captions[over] = (
            "The same at checkpoints of the run, each at a false-discovery rate of 5%; widths compare between panels."
        )
    if found:
        drawn[f"{name}_curves"] = faithfulness.draw(found.curves, f"{cells.run.name}: {discovered.task}")
        captions[f"{name}_curves"] = circuit_rivals.CAPTION
    if against:
        of_changes = circuit_difference.frame(against).to_csv(index=False, float_format="%.6g")
        contents[f"tables/{name}_against_{against.ends.other}.csv"] = of_changes
    contents[f"{name}.html"] = circuit_page.page(
        title,
        [*sentences(discovered), *(circuit_rivals.sentences(found) if found else [])],
        [(svg(figure, captions[key]), captions[key]) for key, figure in drawn.items()],
        circuit_page.table(frame(discovered).head(top), explanation(discovered)),
        command(cells, discovered, bool(formed), bool(found), against.ends.other if against else "", asked),
        [
            circuit_positions.section(where, top),
            circuit_attended.section(discovered.attended),
            circuit_self_repair.section(discovered.self_repair),
            *([circuit_change.section(against, top)] if against else []),
        ],
    )
    for file, text in contents.items():
        write_bytes(cells.folder / file, text.encode())
    pictures = [path for key, figure in drawn.items() for path in files.write_drawn(cells, key, figure)]
    return [*(cells.folder / file for file in contents), *pictures]


def formation(cells: Cells, task: str | Task) -> dict[int, nx.DiGraph]:
    """The task's graphs at some checkpoints of the run, by step."""
    steps = path_effects.formation_steps(cells)
    return graph.formation(cells.run.model_config(), path_effects.table(cells, task, steps))


def command(
    cells: Cells, discovered: Discovered, formed: bool, thorough: bool, against: str = "", asked: str = ""
) -> str:
    """The command line that makes the circuit's files again; asked: as `write` has it."""
    flag = " --formation" * formed + " --thorough" * thorough + (f" --against {against}" if against else "")
    return (
        f"devcircuits circuit --task {shlex.quote(asked or discovered.task)} {flags(cells.run, cells.plan)} "
        f"--step {discovered.step}{flag}"
    )


def _labelled(cells: Cells, formed: dict[int, nx.DiGraph]) -> dict[str, nx.DiGraph]:
    """The graphs of `formation` under titles of their panels."""
    tokens = tokens_seen(cells.run, list(formed))
    return {
        f"{seen:.3g} million tokens: logit difference {whole.graph['clean']:.2f}": whole
        for seen, whole in zip(tokens, formed.values(), strict=True)
    }
