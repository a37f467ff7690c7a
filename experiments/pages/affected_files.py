"""The two lists of a change, the tokens it hurts and those it helps: as text, tables and a page."""

from pathlib import Path

import pandas as pd
import xarray as xr

from experiments.heldout import ablation_pass, affected_tokens
from experiments.heldout.ablation_pass import DRAWS, SIGNS, AblationPass
from experiments.heldout.affected_tokens import Context
from experiments.pages import affected_page
from experiments.results.cells import Cells
from experiments.statistics.intervals import plus_minus
from experiments.storage.files import write_bytes

HEADINGS = {1: "Predicted worse without it", -1: "Predicted better without it"}


def compute(cells: Cells, asked: AblationPass, change: str, top: int) -> dict[int, list[Context]]:
    """Both lists, by sign, each token run again with fresh donors."""
    return {
        sign: affected_tokens.contexts(cells.inputs, asked, change, ablation_pass.hits(cells, asked, change, sign, top))
        for sign in SIGNS
    }


def lead(cells: Cells, asked: AblationPass, change: str, means: xr.Dataset) -> list[str]:
    """What was measured, in sentences."""
    method = f"resample ablation, {DRAWS} donors" if asked.method == "resample" else f"{asked.method} ablation"
    fresh = (
        "The lists are chosen with one half of the donors, and the numbers printed are from the other. "
        if asked.method == "resample"
        else ""
    )
    cut = f" Layer norm: {asked.layer_norm}." if "->" in change else ""
    return [
        f"{cells.run.name}, step {asked.step}, {means.attrs['tokens']} tokens of {means.attrs['documents']} held-out "
        f"documents ({cells.plan.corpus}). {change} is removed ({method}).{cut} On average that costs "
        f"{plus_minus(float(means.effect), float(means.effect_se), 4)} nats per token (95% confidence "
        f"interval, clustered by document), where the loss is {float(means.loss):.3f}.",
        f"{fresh}At most five tokens of a document, and one of those with equal four tokens before them; tokens with "
        "fewer than 32 tokens before them in their row are not scored.",
    ]


def as_text(lists: dict[int, list[Context]], lead: list[str]) -> str:
    lines = list(lead)
    for sign, found in lists.items():
        lines += ["", f"{HEADINGS[sign]}:"]
        lines += [affected_tokens.as_text(context, rank) for rank, context in enumerate(found, start=1)]
    return "\n".join(lines)


def write(cells: Cells, change: str, lists: dict[int, list[Context]], lead: list[str]) -> list[Path]:
    """tables/affected_NAME.csv and affected_NAME.html."""
    name = change.replace("->", "-")
    frames = [affected_tokens.frame(found).assign(sign=sign) for sign, found in lists.items()]
    table = cells.folder / "tables" / f"affected_{name}.csv"
    write_bytes(table, pd.concat(frames).to_csv(index=False, float_format="%.6g").encode())
    page = cells.folder / f"affected_{name}.html"
    sections = {HEADINGS[sign]: found for sign, found in lists.items()}
    title = f"{cells.run.name}: the tokens that {change} matters for"
    write_bytes(page, affected_page.page(title, lead, sections).encode())
    return [table, page]
