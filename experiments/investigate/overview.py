"""All heads of a run at a checkpoint: what each is, what ablating it costs, its learning coefficient."""

import pandas as pd
from markupsafe import Markup

from ablations.not_measurable import NotMeasurable
from experiments.heldout import head_effects
from experiments.heldout.head_types import ATTENTION
from experiments.investigate.snapshot import Snapshot
from experiments.pages.layout import elements
from experiments.pages.layout.page import Made, Page, Section
from experiments.statistics.intervals import caution, give_or_take, written
from llc.intervals import with_half_widths

COLUMNS = ("head", "type", "loss rise", "rLLC", "previous token", "current token", "prefix-matching score", "learned")
TYPES = ("type", *(f"{score}{end}" for score in ("effect", *ATTENTION) for end in ("", "_se", "_degrees")))


def frame(snapshot: Snapshot) -> pd.DataFrame:
    """One row for each head: type, effect (nats per token), attention scores, learned (multigrams), rllc, verdict; with
    standard errors and their degrees of freedom, and half the width of the rLLC's 95% interval (rllc_half); NaN for
    what this run does not allow to measure.
    """
    parts = [part for part in (_types(snapshot), _rllc(snapshot)) if isinstance(part, pd.DataFrame)]
    joined = pd.concat([pd.DataFrame(index=pd.Index(snapshot.heads, name="head")), *parts], axis=1)
    return joined.reindex(index=snapshot.heads, columns=[*TYPES, "learned", "rllc", "rllc_se", "rllc_half", "verdict"])


def overview(snapshot: Snapshot) -> Page:
    """The overview; what is missing is computed first."""
    types, rllc, run = _types(snapshot), _rllc(snapshot), snapshot.cells.run
    model, rows = run.config["model"], []
    heads = frame(snapshot)
    for name, at in heads.iterrows():
        row = [elements.strong(str(name)), _text(at["type"]), _number(at, "effect", 3)]
        row += [give_or_take(at["rllc"], at["rllc_half"], 2) + _doubt(_text(at["verdict"]))]
        row += [f"{at[score]:.2f}" if pd.notna(at[score]) else "" for score in ATTENTION]
        rows.append([*row, f"{at['learned']:.0f}" if pd.notna(at["learned"]) else ""])
    missing = [reason for reason in (types, rllc) if isinstance(reason, str)]
    plan, llc = snapshot.cells.plan, snapshot.cells.plan.llc
    shape = (
        f"{model['n_layers']} layers of {model['n_heads']} heads, {len(run.steps)} checkpoints (steps "
        f"{', '.join(map(str, run.steps))}), shown at step {snapshot.step}, corpus {snapshot.cells.plan.corpus}."
    )
    over = "held-out text" if isinstance(types, str) else head_effects.population(snapshot.types)
    notes = (
        f"With 95% confidence intervals. Loss rise: under mean ablation, nats per token, mean over {over}. rLLC: "
        f"{llc.name} settings (nbeta {llc.nbeta:g}, localization {llc.localization:g}){plan.of_others}, no unit; "
        "compare within a layer. Then its mean attention (0 to 1) to the previous token and to the current one, and "
        "its prefix-matching score on repeated random tokens; learned: how many multigrams of the model it has learned."
    )
    few = caution(types, "effect", *ATTENTION) if isinstance(types, pd.DataFrame) else ""
    note = run.corpus_note(snapshot.cells.inputs.corpus)
    lead = elements.joined(elements.quiet(shape), *map(elements.not_measured, missing), elements.noted("Note", note))
    table: Markup = elements.table(COLUMNS, rows, words=(0, 1))
    return Page(
        title=run.name,
        about="All heads of a run at one checkpoint: what each is, what ablating it costs, its learning coefficient.",
        sections=[Section("Heads", table + elements.quiet(f"{notes} {few}".strip()))],
        made=Made(f'Investigation("{run.name}")', run.name),
        lead=lead,
    )


def _types(snapshot: Snapshot) -> pd.DataFrame | str:
    """The types of all heads, or why they are not measured."""
    try:
        types = snapshot.types
    except NotMeasurable as error:
        return str(error)
    table = types[list(TYPES)].to_dataframe().assign(learned=types.learned.sum("sort").values)
    return table.rename_axis("head")


def _rllc(snapshot: Snapshot) -> pd.DataFrame | str:
    """The learning coefficients of all heads, or why they are not measured."""
    if snapshot.step in snapshot.few_steps:
        jobs = snapshot.missing_rllcs(range(snapshot.cfg.n_layers), [snapshot.step])
        snapshot.compute(jobs, "learning coefficients")
    try:
        rllc = snapshot.rllc()
        sampled = rllc.step.values[(rllc.verdict != "").any("restriction").values].tolist()
    except NotMeasurable as error:
        if snapshot.step in snapshot.few_steps:
            return str(error)
        sampled = []
    if snapshot.step not in sampled:
        there = ", ".join(map(str, sorted({*sampled, *snapshot.few_steps})))
        return f"learning coefficients at step {snapshot.step}, they are at {there}"
    rllc = with_half_widths(rllc.sel(step=snapshot.step))
    table = rllc[["value", "se", "half_width", "verdict"]].drop_vars(["layer", "head", "step"]).to_dataframe()
    names = {"value": "rllc", "se": "rllc_se", "half_width": "rllc_half"}
    return table.rename(columns=names).rename_axis("head")


def _number(at: pd.Series, name: str, digits: int) -> str:
    return written(at, name, digits) if pd.notna(at[name]) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _doubt(verdict: str) -> str:
    """The health record's verdict in brackets; nothing for a number that it trusts."""
    return "" if verdict in ("trust", "") else f" ({verdict})"
