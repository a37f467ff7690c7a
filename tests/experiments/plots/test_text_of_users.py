"""Text of users in figures: names with dollar signs and characters of other scripts are drawn as they are written."""

import warnings
from collections.abc import Callable, Iterator

import matplotlib
import networkx as nx
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from experiments.plots import circuit, render, style
from experiments.plots.fonts import as_written

NAMES = ["lr $3e-4$ vs $\\frac$, step 60", "my $x_1$ run", "$", "a\\$b$", "100% of $5", "dots\n$two$ lines"]
ONLY_IN_SERIF = "\u1d15"  # DejaVu Serif has it, DejaVu Sans has not
IN_NO_FONT = "\u3042"  # a Japanese letter; no font that comes with matplotlib has it


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(figure: Figure) -> set[str]:
    """The texts of a figure, each as it is handed to the renderer, with what is mathematics marked."""
    render.image_file(figure, "png")
    parts = (text._preprocess_math(text.get_text()) for text in figure.findobj(Text))  # type: ignore[attr-defined]
    return {("mathematics: " if is_math else "") + said for said, is_math in parts}


def titled(name: str) -> Figure:
    figure = style.new_figure(3.0, 2.0)
    figure.suptitle(name, **as_written(name))
    axis = figure.subplots()
    axis.set_title(name, **as_written(name))
    axis.text(0.1, 0.1, name, **as_written(name, "monospace"))
    return figure


def of_circuit(name: str) -> Figure:
    graph = nx.DiGraph()
    graph.add_node("embed", layer=-1)
    graph.add_node("L0H0", layer=0, head=0)
    graph.add_node("output", layer=1)
    graph.add_edge("L0H0", "output", output={"effect": -1.0, "se": 0.1, "p": 0.0, "found": True})
    return circuit.draw_formation({name: graph}, name)


@pytest.mark.parametrize("make", [titled, of_circuit], ids=["titled", "circuit"])
@pytest.mark.parametrize("name", NAMES)
def test_a_dollar_sign_begins_no_mathematics(make: Callable[[str], Figure], name: str) -> None:
    assert name in drawn(make(name))


def test_negative_control_without_it_there_is_mathematics() -> None:
    figure = style.new_figure(3.0, 2.0)
    figure.suptitle(NAMES[1])
    assert drawn(figure) == {"mathematics: " + NAMES[1]}
    figure = style.new_figure(3.0, 2.0)
    figure.suptitle(NAMES[0])
    with pytest.raises(ValueError, match="Expected"):
        render.image_file(figure, "svg")


def test_mathematics_elsewhere_stays_as_it_is() -> None:
    assert matplotlib.rcParams["text.parse_math"]  # of who uses the program: their figures, and ticks of log axes
    figure = titled(NAMES[0])
    figure.axes[0].set_xscale("log")
    figure.axes[0].set_xlim(1e-6, 1e6)
    assert any(said.startswith("mathematics: $\\mathdefault{10") for said in drawn(figure))


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_other_fonts_give_what_a_font_lacks(suffix: str) -> None:
    name = f"run {ONLY_IN_SERIF}"
    render.image_file(titled(name), suffix)  # type: ignore[arg-type]
    assert as_written(name)["family"][0] == "DejaVu Sans" and len(as_written(name)["family"]) == 2
    assert as_written("run \u00e4 \u03b1 \u0436 \u2192\n")["family"] == ["DejaVu Sans"]
    figure = style.new_figure(3.0, 2.0)
    figure.suptitle(name, family="DejaVu Sans")
    with pytest.raises(UserWarning, match="missing from font"):  # negative control
        render.image_file(figure, suffix)  # type: ignore[arg-type]


def test_where_no_font_has_a_character_it_is_a_box_and_a_warning() -> None:
    written = as_written(f"{ONLY_IN_SERIF}{IN_NO_FONT}")
    assert not any(name.startswith("Last Resort") for name in written["family"])
    assert len(written["family"]) >= 2  # what can be had is
