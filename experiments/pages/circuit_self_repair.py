"""What later heads take over when heads of a circuit are patched, as a sentence and as a table of a page."""

import numpy as np
import xarray as xr

from experiments.pages.layout import elements
from experiments.pages.layout.page import Section
from experiments.statistics.intervals import give_or_take

TOP = 8  # heads in a table
DIRECT = 0.1  # of the total effect: a smaller direct effect is not what a head is there for
COLUMNS = (
    "head",
    "total (95% confidence interval)",
    "direct",
    "later heads",
    "final norm's scale",
    "made up for",
    "most through",
)
EXPLANATION = (
    "effect of patching a head everywhere, with its 95% confidence interval over prompts; what of it the head itself "
    "writes into the answer; what later heads add, and what the final norm's scale does; the share of the direct "
    "effect that is made up for, where it is and the direct effect is a tenth of the total one or more; and the later "
    "head that changes most. Effects are negative where the head carries the task: later heads that add with the "
    "other sign take over, those with the same need it"
)


def sentence(parts: xr.Dataset) -> str:
    """The heads whose direct effect is made up for most, as plain text without a full stop; not what is small."""
    sure = parts.isel(patched=((parts.repaired - parts.repaired_half > 0.1) & (parts.direct < 0)).values)
    if not sure.sizes["patched"]:
        return "Self-repair: of no head that carries the task directly a tenth or more is surely made up for"
    order = sure.isel(patched=abs(sure.direct - sure.total).argsort().values[::-1][:3])
    told = [
        f"{name} (direct {direct:.2f}, total {total:.2f}: {100 * share:.0f}% made up for)"
        for name, direct, total, share in zip(
            order.patched.values, order.direct.values, order.total.values, order.repaired.values, strict=True
        )
    ]
    return f"Self-repair: small total effects do not say that a head is not needed, {', '.join(told)}"


def section(parts: xr.Dataset) -> Section:
    """The heads with the largest total or direct effects."""
    largest = abs(parts.total).where(abs(parts.total) > abs(parts.direct), abs(parts.direct))
    rows = [_row(parts.isel(patched=at)) for at in largest.argsort().values[::-1][:TOP]]
    table, note = elements.table(COLUMNS, rows, words=(0, 6)), elements.quiet(elements.sentence(EXPLANATION))
    return Section("What later heads take over", elements.joined(table, note))


def _row(part: xr.Dataset) -> list[str]:
    at = int(np.argmax(abs(part.through.values)))
    most = part.through.isel(head=at)
    named = f"{most['head'].item()} ({float(most):+.2f})" if abs(float(most)) >= 0.01 else ""
    repaired = float(part.repaired) if abs(float(part.direct)) >= DIRECT * abs(float(part.total)) else np.nan
    return [
        part.patched.item(),
        give_or_take(float(part.total), float(part.total_half), 2),
        *(give_or_take(float(part[name]), float(part[f"{name}_half"]), 2) for name in ("direct", "later", "scale")),
        f"{100 * repaired:.0f}%" if repaired - float(part.repaired_half) > 0 else "",
        named,
    ]
