"""The tokens that a part matters for most are those whose loss changes most; looking for them waits for the reader."""

from tests.experiments.explorer.in_node import called
from tests.experiments.explorer.programs import needs_node

pytestmark = needs_node

MODEL = """
    const runs = [];
    const model = { run: (step, tokens, removed = [], method = "") => {
      runs.push([step, removed.join(), method]);
      return { losses: tokens.map((token, at) => at ? token + (removed.length ? given.changes[at] : 0) : NaN) };
    } };
"""


def test_changes_are_those_of_the_losses() -> None:
    body = (
        MODEL
        + """
        const first = changesIn(model, given.tokens, 3, 100, "L0H1", "mean");
        changesIn(model, given.tokens, 3, 100, "L0H1->output", "zero");
        return { first, runs, best: strongest(first, 2).map(({ at }) => at) };
    """
    )
    answer = called(("part_tokens",), body, {"tokens": [5, 6, 7, 8], "changes": [9, 0.5, -2, 1]})
    assert [(one["text"], one["at"], one["loss"], one["change"]) for one in answer["first"]] == [
        (3, 1, 6, 0.5), (3, 2, 7, -2), (3, 3, 8, 1),
    ]  # fmt: skip
    assert answer["best"] == [2, 3]  # the largest, up or down; never the first token, which nothing predicts
    # the whole model runs once for a text and a checkpoint
    assert answer["runs"] == [[100, "", ""], [100, "L0H1", "mean"], [100, "L0H1->output", "zero"]]


def test_it_waits_while_the_reader_moves_and_can_be_ended() -> None:
    body = """
        const due = [], told = [];
        globalThis.setTimeout = (act, wait = 0) => due.push([act, wait]);
        const next = () => { const [act, wait] = due.shift(); act(); return wait; };
        let busy = 0;
        const tell = (found, done) => told.push([[...found], done]);
        const end = search([[1], [2], [3]], (text) => [text], tell, () => busy);
        next();
        busy = 40;
        next();
        const waited = due[0][1];
        busy = 0;
        next();
        end();
        next();
        return { told, waited, left: due.length };
    """
    answer = called(("part_tokens",), body, 0)
    assert answer == {"told": [[[0], 1], [[0, 1], 2]], "waited": 40, "left": 0}
