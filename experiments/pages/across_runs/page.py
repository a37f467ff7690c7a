"""What the circuits of several runs have in common, as a page: sentences, a table of paths and one of heads."""

from markupsafe import Markup

from experiments.pages.across_runs import words
from experiments.pages.layout import elements
from experiments.pages.layout.page import Made, Page, Section
from experiments.tasks.circuit_across import ManyCircuits, frame, heads_frame

ABOUT = "The circuit of one task in several runs: which paths are in every one, and which head does what in each."


def title(task: str, runs: tuple[str, ...]) -> str:
    """Of the page, and of what shows itself in a notebook."""
    return f"{task}: {words.listed([*runs])}"


def page(many: ManyCircuits, top: int, made: Made) -> Page:
    """The page, with the first `top` paths."""
    lead, *more = (elements.sentence(line) for line in words.sentences(many))
    about = f"{words.EXPLANATION}. After as stands what a path is called there, where it is another name"
    paths = elements.joined(_paths(many, top), elements.quiet(elements.sentence(about)))
    return Page(
        title(many.task, many.runs),
        ABOUT,
        [Section("Paths", paths), Section("Heads", _heads(many))],
        made,
        elements.joined(elements.paragraph(lead), *(elements.paragraph(line) for line in more)),
    )


def _paths(many: ManyCircuits, top: int) -> Markup:
    rows = []
    for row in frame(many).head(top).to_dict("records"):
        others = [_as(words.effect(row, run), row[f"{run}_path"], row["path"]) for run in many.runs]
        rows.append([row["path"], f"{row['models']} of {len(many.runs)}", *others])
    return elements.table(("path", "found in", *many.runs), rows)


def _as(effect: str, there: str, here: str) -> str:
    return effect if there == here else f"{effect} as {there}"


def _heads(many: ManyCircuits) -> Markup:
    others, rows = many.runs[1:], []
    for row in heads_frame(many).to_dict("records"):
        partners = [f"{row[run]} ({100 * row[f'{run}_share']:.0f}%)" for run in others]
        agreed = [] if len(others) == 1 else [f"{100 * row['agreement']:.0f}%"]
        rows.append([row["head"], *partners, *agreed])
    columns = (many.runs[0], *others, *([] if len(others) == 1 else ["other runs agree"]))
    about = (
        "The partner of each head in the other runs, in brackets in how many resamples of the prompts it is the same"
        + ("" if len(others) == 1 else "; last, how many pairs of other runs match these partners with each other")
    )
    return elements.joined(elements.table(columns, rows), elements.quiet(elements.sentence(about)))
