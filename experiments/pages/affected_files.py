"""The two lists of an ablation, the tokens it hurts and those it helps: as text, as tables and as a page."""

import shlex
from pathlib import Path

import pandas as pd
import xarray as xr

from ablations.affected import BEFORE, CONTEXT, PER_DOCUMENT
from experiments.heldout import ablation_pass, affected_tokens
from experiments.heldout.ablation_pass import DRAWS, SIGNS, AblationPass
from experiments.heldout.affected_tokens import Context
from experiments.pages import affected_page, saving
from experiments.pages.layout import elements
from experiments.pages.layout.page import Made, Page, Section
from experiments.results.cells import Cells
from experiments.results.file_names import flags, variant
from experiments.statistics.intervals import caution, written
from experiments.storage.files import write_bytes

HEADINGS = {1: "Predicted worse after the ablation", -1: "Predicted better after the ablation"}
ABLATIONS = {"zero": "zero ablation", "mean": "mean ablation", "resample": f"resample ablation, {DRAWS} donors"}


def compute(cells: Cells, asked: AblationPass, change: str, top: int) -> dict[int, list[Context]]:
    """The lists of hurt and helped tokens, by sign, each token run again with fresh reference rows."""
    return {
        sign: affected_tokens.contexts(cells.inputs, asked, change, ablation_pass.hits(cells, asked, change, sign, top))
        for sign in SIGNS
    }


def lead(cells: Cells, asked: AblationPass, change: str, means: xr.Dataset) -> list[str]:
    """What was measured, in sentences of plain text."""
    fresh = (
        "The lists are chosen with one half of the donors, and the numbers printed are from the other. "
        if asked.method == "resample"
        else ""
    )
    layer_norm = f" Layer norm: {asked.layer_norm}." if "->" in change else ""
    cost = written(means, "effect", 4)
    return [
        f"{cells.run.name}, step {asked.step}, {means.attrs['tokens']} tokens of {means.attrs['documents']} held-out "
        f"documents ({cells.plan.corpus}). {change} is removed ({ABLATIONS[asked.method]}).{layer_norm} On average "
        f"that raises the loss by {cost} nats per token (95% confidence interval, clustered by document); without the "
        f"ablation it is {float(means.loss):.3f}. {caution(means, 'effect')}".strip(),
        f"{fresh}At most {PER_DOCUMENT} tokens of a document, and one of those with the same {CONTEXT} tokens before "
        f"them; tokens with fewer than {BEFORE} tokens before them in their row are not scored.",
    ]


def as_text(lists: dict[int, list[Context]], lead: list[str]) -> str:
    """The sentences of `lead` and both lists, for a terminal."""
    lines = list(lead)
    for sign, contexts in lists.items():
        lines += ["", f"{HEADINGS[sign]}:"]
        lines += [affected_tokens.as_text(context, rank) for rank, context in enumerate(contexts, start=1)]
    return "\n".join(lines)


def write(
    cells: Cells, asked: AblationPass, change: str, lists: dict[int, list[Context]], lead: list[str]
) -> list[Path]:
    """Writes tables/affected_NAME.csv and affected_NAME.html; returns both paths.

    The names end with the step unless it is the last, with the method of ablation and of layer norm, and with what in
    the plan is no default (`file_names.variant`).
    """
    others = {
        f"_{asked.step}": asked.step != cells.run.steps[-1],
        f"_{asked.method}": asked.method != "resample",
        f"_{asked.layer_norm}": asked.layer_norm != "recompute",
    }
    name = change.replace("->", "-") + "".join(part for part, is_other in others.items() if is_other)
    name += variant(cells.run, cells.plan)
    frames = [affected_tokens.frame(contexts).assign(sign=sign) for sign, contexts in lists.items()]
    table = cells.folder / "tables" / f"affected_{name}.csv"
    write_bytes(table, pd.concat(frames).to_csv(index=False, float_format="%.6g").encode())
    shown = _page(cells, asked, change, lists, lead)
    return [table, saving.save(shown, cells.folder / f"affected_{name}.html", cells)]


def _page(cells: Cells, asked: AblationPass, change: str, lists: dict[int, list[Context]], lead: list[str]) -> Page:
    """The lists below what was measured."""
    sections = [Section(HEADINGS[sign], affected_page.hits(contexts)) for sign, contexts in lists.items()]
    others = f" --method {asked.method}" * (asked.method != "resample")
    command = f"devcircuits affected {shlex.quote(change)} {flags(cells.run, cells.plan)} --step {asked.step}{others}"
    return Page(
        title=f"{cells.run.name}: the tokens that {change} matters for",
        about=f"The tokens of held-out text whose loss changes most when {change} is ablated, in their contexts.",
        sections=sections,
        made=Made(command, cells.run.name),
        lead=elements.joined(*map(elements.quiet, [*lead, affected_page.KEY])),
    )
