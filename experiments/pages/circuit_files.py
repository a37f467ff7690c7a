"""A discovered circuit in words, as graph files, a table, pictures and a page; and how it formed."""

import shlex
from pathlib import Path

import networkx as nx
import pandas as pd
from matplotlib.figure import Figure

from circuits import graph
from circuits.formation import drawn_effects, telling
from circuits.tasks import Task
from experiments.figures import files
from experiments.pages import (
    circuit_attended,
    circuit_change,
    circuit_page,
    circuit_positions,
    circuit_rivals,
    circuit_self_repair,
    circuit_words,
    path_files,
    saving,
)
from experiments.pages.circuit_rivals import Compared
from experiments.pages.layout import elements, pictures
from experiments.pages.layout.page import Made, Section
from experiments.plots import circuit as picture
from experiments.plots import faithfulness
from experiments.results.cells import Cells
from experiments.results.file_names import flags, variant
from experiments.runs.run import tokens_seen
from experiments.storage.files import as_json, write_bytes
from experiments.tasks import circuit_difference, path_effects, positions
from experiments.tasks.circuit_difference import Difference
from experiments.tasks.discovery import Discovered, frame

PANELS = 6  # of a formation, at most


def as_text(discovered: Discovered, top: int) -> str:
    """The sentences and the `top` strongest paths, for a terminal."""
    lines = [*circuit_words.sentences(discovered), circuit_words.explanation(discovered)]
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
        name: ("The circuit", f"{title}. {circuit_words.WIDTHS}"),
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
            "How it formed",
            "The same at checkpoints of the run, each at a false-discovery rate of 5%; widths compare between panels. "
            f"Of {len(path_effects.formation_candidates(cells))} checkpoints that were measured these are the first, "
            "the last, and one after another the one whose drawn effects differ most from all panels before (the sum "
            "over paths of the differences).",
        )
    if found:
        drawn[f"{name}_curves"] = faithfulness.draw(found.curves, f"{cells.run.name}: {discovered.task}")
        captions[f"{name}_curves"] = "Faithfulness over circuit size", circuit_rivals.CAPTION
    if against:
        of_changes = circuit_difference.frame(against).to_csv(index=False, float_format="%.6g")
        contents[f"tables/{name}_against_{against.ends.other}.csv"] = of_changes
    page = circuit_page.page(
        title,
        [*circuit_words.sentences(discovered), *(circuit_rivals.sentences(found) if found else [])],
        [pictured(figure, *captions[key]) for key, figure in drawn.items()],
        circuit_page.table(frame(discovered).head(top), circuit_words.explanation(discovered)),
        [*details(discovered, where, top), *([circuit_change.section(against, top)] if against else [])],
        Made(
            command(cells, discovered, bool(formed), bool(found), against.ends.other if against else "", asked),
            cells.run.name,
        ),
    )
    for file, text in contents.items():
        write_bytes(cells.folder / file, text.encode())
    written = [path for key, figure in drawn.items() for path in files.write_drawn(cells, key, figure)]
    return [
        *(cells.folder / file for file in contents),
        saving.save(page, cells.folder / f"{name}.html", cells),
        *written,
    ]


def details(discovered: Discovered, where: pd.DataFrame, top: int) -> list[Section]:
    """What stands below the strongest paths; where: the table of positions."""
    return [
        *circuit_positions.sections(where, top),
        *circuit_attended.sections(discovered.attended),
        circuit_self_repair.section(discovered.self_repair),
    ]


def pictured(figure: Figure, title: str, caption: str) -> Section:
    """A figure with its caption as a section."""
    return Section(title, elements.captioned(pictures.image(figure, f"{title}: {caption.partition('.')[0]}"), caption))


def formation(cells: Cells, task: str | Task) -> dict[int, nx.DiGraph]:
    """The task's graphs by step at those checkpoints of the run at which most has changed (`circuits.formation`)."""
    measured = path_effects.table(cells, task, path_effects.formation_candidates(cells))
    chosen = telling(drawn_effects(measured), PANELS)
    return graph.formation(cells.run.model_config(), measured.isel(step=chosen))


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
