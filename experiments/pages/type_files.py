"""The types of a run's heads in words, as tables, as a picture and as a page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from circuits.multigrams import FEWEST, RATE
from circuits.token_kinds import KINDS
from experiments.figures import files
from experiments.heldout.head_types import ATTENTION, ENDS
from experiments.heldout.learned_multigrams import RAREFIED_TO
from experiments.heldout.text_multigrams import as_patterns, describe
from experiments.pages import saving, types_page
from experiments.plots import head_types as picture
from experiments.results.cells import Cells
from experiments.results.file_names import of_heads, variant
from experiments.statistics.intervals import caution, written
from experiments.storage.files import write_bytes

COLUMNS = ("multigram", "kind", "completions", "gain", "gain_alone", "gain_of_parts", "learned_by", "effects")


def frame(table: xr.Dataset) -> pd.DataFrame:
    """One row per head, with everything that its type rests on."""
    plain = [
        "type",
        "labels",
        "kept",
        "keys",
        *(f"{name}{end}" for name in ("effect", "direct", *ATTENTION) for end in ENDS),
    ]
    heads = table[plain].to_dataframe().reset_index().rename(columns={"restriction": "head"})
    for column, kind in enumerate(table.kind.values.tolist()):
        heads[f"affected {kind}"] = table.affected.values[:, column]
    for column, sort in enumerate(table.sort.values.tolist()):
        heads[f"learned {sort}s"] = table.learned.values[:, column]
    heads["learned, rarefied"], heads["learned, with unseen"] = table.rarefied.values, table.with_unseen.values
    return heads.assign(why=table.why.values)


def multigrams(cells: Cells, table: xr.Dataset) -> pd.DataFrame:
    """One row per multigram of the model, most often completed first; effects of heads that have learned it."""
    patterns = as_patterns(table)
    names = np.array(table.restriction.values, dtype=str)
    has = (table.multigram_q.values <= RATE) & (table.multigram_effect.values > 0)
    rows = []
    for number in np.argsort(-table.completions.values, kind="stable").tolist():
        effects = table.multigram_effect.values[:, number]
        order = [head for head in np.argsort(-effects) if has[head, number]]
        rows.append(
            {
                "multigram": describe(patterns, number, cells.inputs),
                "kind": "n-gram" if patterns.contiguous[number] else "skip n-gram",
                "completions": int(table.completions.values[number]),
                "gain": table.gain.values[number],
                "gain_alone": table.gain_alone.values[number],
                "gain_of_parts": table.gain_part.values[number],
                "learned_by": " ".join(names[order]),
                "effects": " ".join(f"{effects[head]:.3f}" for head in order),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def as_text(cells: Cells, table: xr.Dataset, step: int) -> str:
    """Two lines per head, for a terminal, below what they mean."""
    grams, skips = table.multigrams.values.tolist()
    usual = _shares(table.usual.values)
    lines = [
        f"{cells.run.name}, step {step}, {table.attrs['tokens']} tokens of {table.attrs['documents']} held-out "
        f"documents ({cells.plan.corpus}). Effect: loss rise under mean ablation of the head, nats per token, with its "
        "95% confidence interval, clustered by document",
        "attention: mean attention to the token before, mean attention to the token itself, prefix-matching score. "
        f"The model has {grams} n-grams and {skips} skip n-grams that are completed at least {FEWEST} times",
        f"of all tokens: {usual} (a token may be of several kinds, so that shares can sum to more than 100%)",
    ]
    lines += [word] if (word := caution(table, "effect", *ATTENTION)) else []
    for name in table.restriction.values.tolist():
        at = table.sel(restriction=name)
        looks = " ".join(f"{float(at[score]):.2f}" for score in ATTENTION)
        learned = "+".join(str(value) for value in at.learned.values.tolist())
        effect = written(at, "effect")
        lines.append(
            f"{name:6} {at.type.item():15} {effect}  attention {looks}  learned {learned} multigrams{_few(at)}"
        )
        lines.append(f"       {at.labels.item()}; its direct path matters most for: {_shares(at.affected.values)}")
    return "\n".join(lines)


def write(
    cells: Cells, table: xr.Dataset, step: int, heads: Sequence[str] = (), tokens: int | None = None
) -> list[Path]:
    """Writes tables/types_STEP.csv, tables/multigrams_STEP.csv, figures/types_STEP and types.html, which tells of all
    checkpoints at which types are known on as many tokens (None: by default); returns all paths.

    The names end with what in the plan is no default (`file_names.variant`), and with the heads where some were chosen.
    """
    end = f"{step}{variant(cells.run, cells.plan)}{of_heads(heads)}"
    tables = {f"types_{end}": frame(table), f"multigrams_{end}": multigrams(cells, table)}
    written = []
    for name, content in tables.items():
        written.append(cells.folder / "tables" / f"{name}.csv")
        write_bytes(written[-1], content.to_csv(index=False, float_format="%.6g").encode())
    title = f"{cells.run.name}, step {step}: what each head is, on {table.attrs['tokens']} held-out tokens"
    svg, png = files.write_drawn(cells, f"types_{end}", picture.draw(table, title))
    path = cells.folder / f"types{variant(cells.run, cells.plan)}{of_heads(heads)}.html"
    tables_by_step = types_page.known(cells, step, table, tokens, heads)
    page = types_page.page(cells, step, tables_by_step, svg.read_bytes(), path)
    return [*written, svg, png, saving.save(page, path, cells)]


def _shares(values: np.ndarray) -> str:
    """Shares of kinds of tokens in percent; those below one half percent are left out."""
    named = zip((*KINDS, "none"), values.tolist(), strict=True)
    return ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in named if share > 0.005)


def _few(at: xr.Dataset) -> str:
    """How many different multigrams are learned among equally many completions; nothing where there are too few."""
    rarefied = float(at.rarefied)
    return "" if np.isnan(rarefied) else f", {rarefied:.0f} different among {RAREFIED_TO} completions"
