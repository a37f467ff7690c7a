"""A view stands in the page's address and comes back from it; tables come out as CSV."""

import csv
import io

from tests.experiments.explorer.in_node import LIVE, called
from tests.experiments.explorer.programs import needs_node

pytestmark = needs_node

USUAL = {"step": 28000, "ghost": True, "pins": [], "text": "", "threshold": 0.1}


def test_a_view_comes_back_from_its_address() -> None:
    view = USUAL | {"step": 400, "ghost": False, "pins": ["L0H5", "L1H4"], "text": "a=b & c#d, é\n", "threshold": 0.25}
    body = "const hash = hashOf(given.view, given.usual); return { hash, back: viewOf('#' + hash, given.usual) };"
    answer = called(("state",), body, {"view": view, "usual": USUAL})
    assert answer["back"] == view
    assert "\n" not in answer["hash"] and " " not in answer["hash"]
    usual = called(("state",), body, {"view": USUAL, "usual": USUAL})
    assert usual == {"hash": "", "back": USUAL}  # the control: the usual view needs no address


def test_a_damaged_address_gives_the_usual_view() -> None:
    body = "return given.hashes.map((hash) => viewOf(hash, given.usual));"
    hashes = ["", "#", "#step=abc", "#step=", "#other=1", "#__proto__=1", "#step"]
    assert called(("state",), body, {"hashes": hashes, "usual": USUAL}) == [USUAL] * len(hashes)
    (text,) = called(("state",), body, {"hashes": ["#text=%E0%A4%A"], "usual": USUAL})
    assert text == USUAL | {"text": "%E0%A4%A"}


def test_listeners_hear_of_changes_alone() -> None:
    body = """
        const heard = [], kept = [];
        const state = makeState(given, "", (hash) => kept.push(hash));
        state.subscribe((view, changed) => heard.push([...changed].sort()));
        state.set({ step: 28000 });
        state.set({ step: 100, ghost: true });
        state.toggle("pins", "L0H5");
        state.toggle("pins", "L0H5");
        return { heard, kept };
    """
    answer = called(("state",), body, USUAL)
    assert answer["heard"] == [sorted(USUAL), ["step"], ["pins"], ["pins"]]
    assert answer["kept"] == ["step=100", "step=100&pins=L0H5", "step=100"]


def test_parts_of_the_model_are_told_from_what_it_lacks() -> None:
    names = {
        **dict.fromkeys(["L0H0", "L1H7", "L0H5->L1H4.k", "embed->L0H1.v", "embed->output", "L1H2->output"], True),
        **dict.fromkeys(["L2H0", "L0H8", "", "L1H4->L0H5.k", "L0H1->L0H2.q", "L0H5->L1H4", "L0H5->L1H4.z"], False),
        **dict.fromkeys(["output->L1H4.k", "L0H5->output.k", "b_O->L1H4.k", "L0H5->L9H0.k"], False),
    }
    body = "return given.map((name) => isPart(name, { layers: 2, heads: 8 }));"
    assert called(LIVE, body, list(names)) == list(names.values())


def test_a_table_is_read_back_from_csv() -> None:
    rows = [["head", "value"], ['L0H5, "x"', 1.5], ["a\nb", None]]
    text = called(("svg", "exports"), "return asCsv(given);", rows)
    assert list(csv.reader(io.StringIO(text))) == [["head", "value"], ['L0H5, "x"', "1.5"], ["a\nb", ""]]


def test_changes_that_come_together_are_told_together() -> None:
    body = """
        const heard = [], waiting = [], kept = [];
        const state = makeState(given, "", (hash) => kept.push(hash), (tell) => waiting.push(tell));
        state.subscribe((view, changed) => heard.push([view.step, [...changed].sort()]));
        state.set({ step: 100 });
        state.set({ step: 200, ghost: false });
        const between = [state.get().step, heard.length, waiting.length];
        waiting.splice(0).forEach((tell) => tell());
        state.set({ step: 300 });
        waiting.splice(0).forEach((tell) => tell());
        return { heard, between, kept };
    """
    answer = called(("state",), body, USUAL)
    assert answer["between"] == [200, 1, 1]  # known at once, told later
    assert answer["heard"] == [[28000, sorted(USUAL)], [200, ["ghost", "step"]], [300, ["step"]]]
    assert answer["kept"] == ["step=200&ghost=false", "step=300&ghost=false"]
