"""The types of a run's heads as a page: what each head is at every checkpoint at which that is known, and why."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import xarray as xr
from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from circuits import classify
from experiments.heldout import head_effects, head_types
from experiments.heldout.head_types import ATTENTION
from experiments.measurements.scores import SCORES
from experiments.pages.layout import elements, kind_bar, pictures, run_links
from experiments.pages.layout.environment import macros
from experiments.pages.layout.page import Made, Page, Section
from experiments.results.cells import Cells
from experiments.results.file_names import flags, variant
from experiments.statistics.intervals import caution, written

COLUMNS = ("head", "type", "why", "loss rise", "previous token", "current token", "prefix-matching score", "learned")
THRESHOLDS = (
    f"A head whose effect is not told from 0, or is below {100 * classify.NEGLIGIBLE:g}% of that of all heads, is "
    "inactive; one whose ablation lowers the loss is a suppression head. Each of these that holds is a label of any "
    "other: in the first layer, previous-token from a mean attention of "
    f"{classify.PREVIOUS_TOKEN:g} to the token before on random tokens, where that is more than to any other offset "
    "and cutting the head's paths into keys of the next layer costs more than cutting its direct path to the output; "
    f"current-token from a mean attention of {classify.CURRENT_TOKEN:g} to the token itself, where attending to that "
    f"alone keeps {classify.KEPT:.0%} of its effect; in any layer induction (repeats), multigram, bracket or quote, "
    "whichever is the largest share of the 40 tokens that its direct path matters most for. A head without a label is "
    "mixed."
)


def known(
    cells: Cells, step: int, table: xr.Dataset, tokens: int | None, heads: Sequence[str]
) -> dict[int, xr.Dataset]:
    """The tables of all checkpoints at which types are known on as many tokens, by step; `table` is that at `step`."""
    tables = {step: table}
    for other in cells.run.steps:
        with suppress(NotMeasurable):  # where there is no text for it
            stored = head_types.known(cells, head_types.pass_for(cells, other, tokens, heads))
            if stored is not None:
                tables.setdefault(other, stored.sel(restriction=table.restriction.values))
    return dict(sorted(tables.items()))


def page(cells: Cells, step: int, tables: Mapping[int, xr.Dataset], picture: bytes, path: Path) -> Page:
    """picture: an SVG file, of the types at `step`; path: where the page will be, for its links to cards."""
    alt = f"effects, attention and kinds of affected tokens of every head at step {step}"
    drawn = pictures.embedded(picture, alt)
    others = [
        Section(f"Step {at}", _evidence(cells, tables[at], at, path))
        for at in sorted(tables, reverse=True)
        if at != step
    ]
    return Page(
        title=f"{cells.run.name}: what each head is",
        about="The type of every attention head at the checkpoints of a run, with the measurements that decide it; "
        "learning coefficients do not, so that they can be held against types.",
        sections=[
            Section("Types over training", _over_training(cells, tables)),
            Section(f"Step {step}", _evidence(cells, tables[step], step, path)),
            Section("The same as a picture", elements.captioned(drawn, f"Step {step}. {alt.capitalize()}.")),
            *others,
            Section("Attention scores over training", _scores(cells, tables[step])),
            Section("How a type is decided", elements.paragraph(THRESHOLDS)),
        ],
        made=Made(f"devcircuits types {flags(cells.run, cells.plan)} --step {step}", cells.run.name),
    )


def _over_training(cells: Cells, tables: Mapping[int, xr.Dataset]) -> Markup:
    """Heads down, checkpoints across."""
    heads = next(iter(tables.values())).restriction.values.tolist()
    rows = [[head, *(str(table.type.sel(restriction=head).item()) for table in tables.values())] for head in heads]
    columns = ["head", *(f"step {step}" for step in tables)]
    missing = [step for step in cells.run.steps if step not in tables]
    command = f"devcircuits types {flags(cells.run, cells.plan)} --step {missing[-1]}" if missing else ""
    said = macros("types").checkpoints(", ".join(map(str, missing)), command)
    return elements.joined(elements.table(columns, rows, words=range(len(columns))), said)


def _evidence(cells: Cells, table: xr.Dataset, step: int, path: Path) -> Markup:
    """Every head at a checkpoint, with what its type rests on."""
    kinds = [str(kind) for kind in table.kind.values]
    total = int(table.multigrams.sum())
    rows = [
        [
            _card(cells, name, step, path),
            elements.strong(at.labels.item()),
            macros("types").why(at.why.item(), macros("kinds").bar(kind_bar.pieces(kinds, at.affected.values))),
            written(at, "effect", 4),
            *(written(at, score) for score in ATTENTION),
            f"{int(at.learned.sum())} of {total}",
        ]
        for name in table.restriction.values.tolist()
        for at in [table.sel(restriction=name)]
    ]
    said = (
        f"On {head_effects.population(table)}, with 95% confidence intervals, clustered by document. Bars: kinds of "
        "the 40 tokens that a head's direct path matters most for. Loss rise: under mean ablation, nats per token. "
        "Then the mean attention (0 to 1) to the token before and to the token itself, and the prefix-matching score "
        "on random tokens that repeat; learned: how many multigrams of the model. "
        f"{caution(table, 'effect', *ATTENTION)}"
    )
    shown = elements.table(COLUMNS, rows, words=(0, 1, 2), kind="types")
    return elements.joined(shown, macros("kinds").key(kind_bar.key(kinds)), elements.quiet(said.strip()))


def _card(cells: Cells, head: str, step: int, path: Path) -> str:
    """The head's name, which leads to its card where there is one of this checkpoint."""
    at = "" if step == cells.run.steps[-1] else f"_{step}"
    card = cells.folder / "heads" / f"{head}{at}{variant(cells.run, cells.plan)}.html"
    return macros("types").card(head, run_links.address(card, path)) if card.is_file() else head


def _scores(cells: Cells, table: xr.Dataset) -> Markup:
    """The attention scores that decide, at all checkpoints at which they are measured."""
    measured = {step: cell for step in cells.run.steps if (cell := cells.read(SCORES, step)) is not None}
    heads = table.restriction.values.tolist()
    return elements.joined(
        *(_score(name, words, measured, heads) for name, words in ATTENTION.items()),
        elements.quiet("Heads down, checkpoints across, named by their step."),
    )


def _score(name: str, words: str, measured: Mapping[int, xr.Dataset], heads: Sequence[str]) -> Markup:
    rows = [[head, *(f"{float(cell[name].sel(restriction=head)):.2f}" for cell in measured.values())] for head in heads]
    return elements.folded(words[0].upper() + words[1:], elements.table(["head", *map(str, measured)], rows))
