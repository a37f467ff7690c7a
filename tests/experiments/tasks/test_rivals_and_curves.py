"""What is told of a circuit's rivals and of curves over its size, and how these are drawn."""

import numpy as np
import xarray as xr

from experiments.pages import circuit_rivals
from experiments.pages.circuit_rivals import Compared
from experiments.plots import faithfulness
from experiments.tasks.curves import ORDERS

SIZES = [0, 1, 3, 10, 30, 100]


def found(disjoint: bool = False, untested: str = "") -> Compared:
    paths = [f"L0H{number}->output" for number in range(6)]
    data = {
        "disjoint": ("path", [False, True, True, True, True, True]),
        "without_strongest": ("path", [False, True, True, False, False, False]),
        "faithfulness": ("rival", [0.9 if disjoint else 0.1, 0.85]),
        "found": ("rival", [disjoint, True]),
        "needed": ("path", [False] * 5 + [True]),
    }
    coords = {"path": paths, "rival": ["disjoint", "without_strongest"]}
    rivals = xr.Dataset(data, coords, {"untested": untested, "circuit": 3, "faithful": 0.8})
    rising = np.linspace(0, 1, len(SIZES)) ** np.arange(1, 6)[:, None]
    areas = {"cpr": ("order", [0.9, 0.8, 0.7, 0.4, 0.2]), "cmd": ("order", [0.1, 0.2, 0.3, 0.6, 0.8])}
    curves = dict.fromkeys(("signed", "magnitude"), (("order", "size"), rising)) | areas
    return Compared(rivals, xr.Dataset(curves, {"order": list(ORDERS), "size": SIZES}))


def test_the_sentences_have_the_numbers() -> None:
    rivals, curves = circuit_rivals.sentences(found())
    assert "none shares no path with it (all 5 allowed paths together: 0.10)" in rivals
    assert (
        "one that does without the strongest that can be replaced has 2 paths and faithfulness 0.85 (L0H1->output, L0H2"
        in rivals
    )
    assert "Without 1 of its 3 paths no circuit does the task" in rivals
    for one in ("exact effects 0.90 and 0.10", "path magnitude 0.40 and 0.60", "random 0.20 and 0.80"):
        assert one in curves
    more, _ = circuit_rivals.sentences(found(disjoint=True))
    assert "one that shares no path with it has 5 paths and faithfulness 0.90" in more and "and 1 more)" in more
    assert circuit_rivals.sentences(found(untested="no path was found"))[0].endswith("looked for: no path was found")


def test_every_order_is_drawn_over_sizes_on_a_log_axis() -> None:
    figure = faithfulness.draw(found().curves, "a run")
    for axis, number in zip(figure.axes, ("CPR 0.90", "CMD 0.10"), strict=True):
        labels = [text.get_text() for text in axis.get_legend().get_texts()]
        assert [label.partition(" (")[0] for label in labels] == list(ORDERS) and number in labels[0]
        assert axis.get_xscale() == "log"
        assert axis.lines[0].get_xdata().tolist() == SIZES[1:]
