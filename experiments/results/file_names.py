"""What the names of written files say where a result is not of the defaults, so that none overwrites another."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from experiments.corpora.cache import digest
from experiments.results.plan import TRAINED, Plan, sampler_of
from experiments.runs.run import Run
from llc.settings import QUICK

LONGEST = 32  # characters of a corpus's name


def variant(run: Run, plan: Plan) -> str:
    """The end of a file's name, such as "_cpp_seed1": corpus, seed, settings, reference, gauge and sampler that
    are no default.

    Empty for the corpus that the run was trained on, seed 0, and rLLCs as `reproduce` measures them.
    """
    parts = {
        _short(plan.corpus): plan.corpus != run.config["preset"]["corpus"],
        f"seed{plan.seed}": plan.seed != 0,
        plan.llc.name: plan.llc.name != QUICK.name,
        f"reference-{plan.reference}": plan.reference != "",
        plan.gauge.replace(" ", "-"): plan.gauge != TRAINED,
        plan.sampler: plan.sampler != sampler_of(plan.llc),
    }
    return "".join(f"_{part}" for part, is_other in parts.items() if is_other)


def flags(run: Run, plan: Plan) -> str:
    """The flags that name the run, and corpus and seed where they are no default, for commands that stand on pages."""
    corpus = f" --corpus {shlex.quote(plan.corpus)}" if plan.corpus != run.config["preset"]["corpus"] else ""
    return f"--run {shlex.quote(run.name)}{corpus}" + (f" --seed {plan.seed}" if plan.seed else "")


def of_text(text: str) -> str:
    """The end of a file's name for what is shown on a text of the user's; empty for none."""
    return f"_text-{digest(text)[:8]}" if text else ""


def of_heads(heads: Sequence[str]) -> str:
    """The end of a file's name for what is told of these heads alone; empty for none, which means all."""
    named = "+".join(heads)
    return f"_{named if len(named) <= LONGEST else digest(named)[:8]}" if heads else ""


def _short(corpus: str) -> str:
    """A corpus's name as a part of a file's: whole where it can be, else its end and a hash of the whole."""
    kind, _, rest = corpus.partition(":")
    if kind in ("python", "cpp") or not rest:
        return corpus.replace(":", "-")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", Path(rest).stem).strip("-")[:LONGEST]
    return "-".join(part for part in (kind, plain, digest(corpus)[:8]) if part)
