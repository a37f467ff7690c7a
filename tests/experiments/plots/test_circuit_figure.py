"""Pictures of circuits: nothing overlaps at either size, and a page holds several."""

import re
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from ablations.configuration import Configuration
from circuits import annotate, discover, graph, ways
from experiments.plots import circuit, circuit_layout, render


def made_up(layers: int, heads: int, count: int, seed: int = 0, **more: object) -> nx.DiGraph:
    """A graph in which so many paths, drawn at random, were found."""
    generator = np.random.default_rng(seed)
    sizes = {"d_model": 24, "d_head": 2, "n_ctx": 8, "d_vocab": 9}
    cfg = Configuration.of({"n_layers": layers, "n_heads": heads, "attn_only": True, **sizes, **more})
    paths = discover.candidates(cfg)
    found = np.zeros(len(paths), dtype=bool)
    found[generator.choice(len(paths), count, replace=False)] = True
    effects = discover.Effects(
        paths, generator.normal(size=(len(paths), 4)), np.ones(4), np.zeros(4), np.ones(len(paths))
    )
    return graph.circuit_graph(cfg, effects, found)


def texts_that_overlap(figure: Figure) -> list[tuple[str, str]]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = []
    for axis in figure.axes:
        for text in [*axis.texts, axis.title]:
            if text.get_text():
                patch = text.get_bbox_patch()
                boxes.append((text.get_text(), (patch or text).get_window_extent(renderer)))
    boxes += [(text.get_text(), text.get_window_extent(renderer)) for text in figure.legends[0].get_texts()]
    return [(a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[i + 1 :] if one.overlaps(other)]


@pytest.mark.parametrize(("layers", "heads", "count"), [(2, 8, 24), (12, 12, 40)])
def test_names_do_not_overlap_at_either_size(layers: int, heads: int, count: int) -> None:
    whole = made_up(layers, heads, count)
    names = [node for node, data in whole.nodes(data=True) if "head" in data]
    figure = circuit.draw(annotate.with_heads(whole, dict.fromkeys(names, "previous token")), "a title")
    assert max(figure.get_size_inches()) <= 14
    assert texts_that_overlap(figure) == []
    (axis,) = figure.axes
    assert sum(isinstance(patch, PathPatch) for patch in axis.patches) == count
    shown = [text.get_text().split("\n") for text in axis.texts]
    part = set(graph.found_part(whole).nodes)
    named = {lines[0] for lines in shown}
    assert part <= named
    assert named - {"embed", "output"} == (set(names) if heads == 8 else part - {"embed", "output"})
    assert all((lines[1:] == ["previous", "token"]) == (lines[0] in part and lines[0] in names) for lines in shown)
    crowded = circuit.draw(annotate.with_heads(whole, dict.fromkeys(names, "x" * 30)), "a title")
    assert texts_that_overlap(crowded) != []  # negative control: one word of 30 letters cannot be broken


@pytest.mark.parametrize("parallel", [False, True])
def test_mlps_stand_above_the_heads_that_they_read_or_beside_them(parallel: bool) -> None:
    whole = made_up(2, 8, 30, attn_only=False, act_fn="gelu", d_mlp=8, parallel_attn_mlp=parallel)
    figure = circuit.draw(whole, "a title")
    assert texts_that_overlap(figure) == []
    names = {text.get_text() for text in figure.axes[0].texts}
    assert {"MLP0", "MLP1"} <= names and "into an MLP" in {text.get_text() for text in figure.legends[0].get_texts()}
    row = {node: height for node, (_, height) in circuit_layout.places(whole).items()}
    above = 0 if parallel else 1
    assert row["MLP0"] - row["L0H0"] == row["MLP1"] - row["L1H0"] == above
    assert row["L1H0"] - row["MLP0"] == 1 and row["output"] == 3 + 2 * above
    none = circuit.draw(made_up(2, 8, 24), "a title")  # negative control
    assert "into an MLP" not in {text.get_text() for text in none.legends[0].get_texts()}


ASTRAY, SCALED, HURTS = circuit.LINES


def drawn_as(figure: Figure, name: str) -> int:
    """How many paths are drawn with the line of this name."""
    patches = [patch for axis in figure.axes for patch in axis.patches if isinstance(patch, PathPatch)]
    return sum(patch.get_linestyle() == circuit.LINES[name] for patch in patches)


def test_paths_that_hurt_are_dashed_and_the_legend_says_so() -> None:
    whole = made_up(2, 8, 24)
    hurting = {(*path,) for *path, record in graph.records(whole) if record["found"] and record["effect"] > 0}
    count = len(hurting & ways.on_a_way(whole))
    figure = circuit.draw(whole, "a title")
    assert 0 < count < 24 and drawn_as(figure, HURTS) == count
    assert any("hurts the task" in text.get_text() for text in figure.legends[0].get_texts())
    for *_, record in graph.records(whole):
        record["effect"] = -abs(record["effect"])
    without = circuit.draw(whole, "a title")  # negative control
    assert drawn_as(without, HURTS) == 0
    assert not any("hurts the task" in text.get_text() for text in without.legends[0].get_texts())


def test_formation_is_on_one_scale() -> None:
    strong = made_up(2, 8, 24)
    weak = made_up(2, 8, 24)
    for *_, record in graph.records(weak):
        record["effect"] /= 10
    figure = circuit.draw_formation({"1 million": weak, "2 million": strong, "3 million": strong}, "formed")
    assert texts_that_overlap(figure) == []
    widths = [max((p.get_linewidth() for p in axis.patches), default=0) for axis in figure.axes]
    assert widths[1] == widths[2] == circuit.WIDEST
    assert widths[0] < circuit.WIDEST / 5
    assert [axis.get_title() for axis in figure.axes] == ["1 million", "2 million", "3 million", ""]


def test_what_is_on_no_way_is_drawn_apart_and_said() -> None:
    whole = made_up(2, 4, 9)
    for source, target, via, record in graph.records(whole):
        record["found"] = (source, target, via) in {
            ("embed", "L0H1", "v"),
            ("L0H1", "L1H2", "k"),
            ("L1H2", "output", "output"),
        }
        record["effect"] = -abs(record["effect"])
    figure = circuit.draw(whole, "a title")
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert drawn_as(figure, ASTRAY) == 0 and not any(
        "no way" in entry for entry in entries
    )  # control: all of it is on one
    for ends in (("L0H3", "L1H3"), ("L0H1", "L1H0")):  # with no way in and no way out, and with no way out
        whole.edges[ends]["v"]["found"] = True
    figure = circuit.draw(whole, "a title")
    assert drawn_as(figure, ASTRAY) == 2
    assert any("on no way" in text.get_text() for text in figure.legends[0].get_texts())
    assert texts_that_overlap(figure) == []
    assert drawn_as(circuit.draw_formation({"1": whole, "2": made_up(2, 4, 0)}, "formed"), ASTRAY) == 2
    for source, target, via, record in graph.records(whole):  # one path of the circuit is not read
        record["read"] = record["effect"] * (0.05 if (source, target, via) == ("embed", "L0H1", "v") else 0.9)
    figure = circuit.draw(whole, "a title")
    assert drawn_as(figure, ASTRAY) == 2 and drawn_as(figure, SCALED) == 1
    assert "through the norm's scale" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts_that_overlap(figure) == []


def test_paths_go_around_other_nodes() -> None:
    straight = circuit_layout.route((3.0, 0.0), (3.0, 4.0), "k", [(3.0, 0.0), (3.0, 4.0)], 7)
    assert (straight[:, 0] == 3).all()
    around = circuit_layout.route((3.0, 0.0), (3.0, 4.0), "k", [(3.0, 2.0)], 7)
    t = np.linspace(0, 1, 200)[:, None]
    a, b, c, d = around
    along = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
    at_height = np.abs(along[:, 1] - 2) < 0.2
    assert (np.abs(along[at_height, 0] - 3) > 0.4).all()


def test_svgs_stand_together_in_one_page() -> None:
    first = render.svg(circuit.draw(made_up(2, 4, 9), "one"), "L0H1 & the <rest>")
    second = render.svg(circuit.draw(made_up(2, 4, 9, seed=1), "two"), "another")
    for text in (first, second):
        assert text.startswith("<svg") and text.endswith("</svg>")
        assert not re.search(r"<\?xml|<!DOCTYPE|<metadata", text)
        ids = re.findall(r'\bid="([^"]+)"', text)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(ids)
    root = ElementTree.fromstring(first)
    assert root.get("aria-label") == "L0H1 & the <rest>"
    assert root[0].text == "L0H1 & the <rest>"
    shared = set(re.findall(r'\bid="([^"]+)"', first)) & set(re.findall(r'\bid="([^"]+)"', second))
    assert shared == set()
    assert first == render.svg(circuit.draw(made_up(2, 4, 9), "one"), "L0H1 & the <rest>")
