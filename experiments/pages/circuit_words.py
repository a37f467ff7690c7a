"""A discovered circuit in words: what was found, how stable it is, how it stands five tests, what its table says."""

import networkx as nx
import numpy as np
import xarray as xr

from circuits import graph, scale_part, ways
from circuits.circuit_hypotheses import LEVEL
from circuits.stability import STABLE
from experiments.pages import circuit_self_repair, path_files
from experiments.plots import circuit as picture
from experiments.tasks.discovery import Discovered

WIDTHS = (
    "A line is a path, as wide as the effect of patching it is large; all that pass are drawn, at most "
    f"{picture.SHOWN}. Dash-dotted paths are on no way from the embedding to the output along these. Dotted ones act "
    "through a norm's scale: less than a tenth of their effect is read. Dashed ones hurt the task. Faint ones pass on "
    f"few resamples of the prompts, and below {100 * STABLE:.0f}% of them are no part of the circuit."
)


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
        "effect of patching one path (what its source writes on the corrupted prompt), with its 95% confidence "
        "interval over prompts, negative where the path carries the task; of paths that pass the part of it that the "
        "target reads, and the part that goes through its layer norm's scale; EAP-IG's estimate of it; in how many of "
        "the resamples of the prompts the path passes; faithfulness that the circuit loses without it; for paths "
        "between heads, their composition score in standard deviations above chance"
        + (overlap if discovered.text_tokens else no_overlap)
    )
