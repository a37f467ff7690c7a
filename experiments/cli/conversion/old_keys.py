"""The keys that cells had before version 0.2, and what they ask for in today's words.

Their key named the run, and neither its configuration nor its tokenizer; one version stood for all kinds.
"""

from dataclasses import replace
from typing import NamedTuple

from experiments.heldout.ablation_pass import PASS
from experiments.heldout.head_types import HEAD_TYPES
from experiments.heldout.induction_tokens import INDUCTION_TOKENS
from experiments.heldout.labelled_tokens import LABELLED_TOKENS
from experiments.heldout.model_multigrams import AFFECTED_KINDS, MODEL_MULTIGRAMS
from experiments.heldout.text_multigrams import TEXT_MULTIGRAMS
from experiments.measurements.curvature import CURVATURE
from experiments.measurements.full_llc import FULL_LLC
from experiments.measurements.kinds import MAIN_JOB
from experiments.results.kind import Kind
from experiments.results.plan import Plan, default_plan
from experiments.runs.run import Run
from experiments.tasks.bracket_effects import BRACKET_EFFECTS
from experiments.tasks.closer_odds import CLOSER_ODDS
from experiments.tasks.induction_cuts import INDUCTION_CUTS
from experiments.tasks.task_prompts import SKIPGRAM_PROMPTS, TASK_PROMPTS
from llc.settings import Settings

VERSIONS = {"multigrams": 2, "token_kinds": 2}  # of kinds that had their own; others: [6, 2]
MEASURED = {kind.name: kind for kind in (*MAIN_JOB, FULL_LLC, CURVATURE)}
PASSES = {
    "types": HEAD_TYPES,
    "known": MODEL_MULTIGRAMS,
    "affected_kinds": AFFECTED_KINDS,
    "affected": INDUCTION_TOKENS,
}
OTHERS = {  # but effects of paths, whose parts were not measured then
    "brackets": BRACKET_EFFECTS,
    "closers": CLOSER_ODDS,
    "token_kinds": LABELLED_TOKENS,
    "multigrams": TEXT_MULTIGRAMS,
}


class Asked(NamedTuple):
    """What an old key asked for."""

    kind: Kind
    plan: Plan
    steps: list[int]  # of a table; of a cell its one step, or none where it needs no checkpoint
    parameters: dict
    is_table: bool


def asked(old: dict, run: Run) -> Asked | None:
    """What a key of the last version asked for; None for earlier ones and kinds that are gone."""
    name, is_table = str(old["kind"]), str(old["kind"]).startswith("swept_") and old["kind"] != "swept_types"
    name = name.removeprefix("swept_")
    expected: object = VERSIONS.get(name, 3 if name.startswith("task_") else [6, 2])
    if old.get("version") != expected:
        return None
    kind, parameters = _kind(name, old)
    if kind is None:
        return None
    steps = old["steps"] if is_table else [old["step"]] if kind.steps else []
    return Asked(kind, _plan(old, run), steps, parameters, is_table)


def _kind(name: str, old: dict) -> tuple[Kind | None, dict]:
    """The kind of an old key, and its parameters."""
    if name in MEASURED:
        single = name == "rllc" and "steps" not in old
        return MEASURED[name], {"restriction": old["restriction"]} if single else {}
    if name == "survey":
        return PASS, {"ablation": _ablation(old["survey"]), "rows": old["part"]}
    if name in PASSES:
        kept = {part: old[part] for part in ("restriction", "changes", "top") if part in old}
        return PASSES[name], {"ablation": _ablation(old["survey"])} | kept
    if name == "induction_cuts":
        return INDUCTION_CUTS, {"heads": old["heads"]}
    if name.startswith("task_"):
        task = name.removeprefix("task_")
        return (SKIPGRAM_PROMPTS if task == "skipgram" else TASK_PROMPTS), {"task": task}
    kept = {part: old[part] for part in ("tokens", "rows", "task", "prompts") if part in old}
    return OTHERS.get(name), kept


def _ablation(survey: dict) -> dict:
    return {part: value for part, value in survey.items() if part != "step"}


def _plan(old: dict, run: Run) -> Plan:
    """The plan that the key tells of; what it does not tell is as by default."""
    told = dict(old.get("plan", {}))
    plan = default_plan(told.get("corpus", run.config["preset"]["corpus"]), run.config["model"]["n_ctx"])
    if "llc" in told:
        told["llc"] = Settings(**told["llc"])
    known = {part: value for part, value in told.items() if part in plan.record()}
    return replace(plan, **known, reference="last" if old.get("reference") else "")
