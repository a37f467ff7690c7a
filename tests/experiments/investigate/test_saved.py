"""All that shows itself in a notebook saves itself: as a page, and its picture and table by themselves, by suffix."""

import ast
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import devcircuits as dc

pytestmark = pytest.mark.usefixtures("small")
ROOT = Path(__file__).parents[3]
TEXT = "def area(width):"
SHOWN: dict[str, tuple[Callable[[dc.Investigation], object], str]] = {  # what to save, and what else than a page it has
    "overview": (lambda inv: inv, ".csv"),
    "card": (lambda inv: inv["L1H2"], ""),
    "attention of a card": (lambda inv: inv["L1H2"].on(TEXT).attention, ".csv"),
    "prompt": (lambda inv: inv.on(TEXT), ".csv"),
    "prompt without": (lambda inv: inv.on(TEXT).without("L1H2"), ".csv"),
    "two heads": (lambda inv: inv.compare("L1H0", "L1H2"), ".csv"),
    "two checkpoints": (lambda inv: inv.compare(10, 60), ".csv"),
    "circuit": (lambda inv: inv.circuit("induction"), ".csv .png .svg .pdf"),
    "two circuits": (lambda inv: inv.at(10).circuit().against(inv.circuit()), ".csv"),
    "rLLC": (lambda inv: inv.rllc("L1H2", steps=[60]), ".csv .png .svg .pdf"),
}
BEGINS = {".html": b"<!doctype html>", ".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF-"}
NOT_OF_A_RUN = {"llc/restrict.py"}  # a table of parameters, below what writes pages


@pytest.fixture(scope="module")
def inv(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dc.Investigation:
    return dc.Investigation(trained / "runs/tiny-seed0", out=tmp_path_factory.mktemp("saved") / "out", tokens=1500)


@pytest.mark.parametrize("name", SHOWN)
def test_it_is_written_by_suffix(inv: dc.Investigation, tmp_path: Path, name: str) -> None:
    make, more = SHOWN[name]
    shown, suffixes = make(inv), [".html", *more.split()]
    for suffix in suffixes:
        path = shown.save(tmp_path / f"a{suffix}")  # type: ignore[attr-defined]
        content = path.read_bytes()
        if suffix == ".csv":
            assert len(pd.read_csv(path).columns) > 1
        else:
            assert content.startswith(BEGINS[suffix]), suffix
        assert shown.save(str(tmp_path / f"b{suffix}")).read_bytes() == content, "the same again"  # type: ignore[attr-defined]
    for wrong in {".csv", ".png", ".xlsx", ""} - {*suffixes}:
        with pytest.raises(ValueError, match=r"it is written as \.html.*give a path that ends so") as raised:
            shown.save(tmp_path / f"c{wrong}")  # type: ignore[attr-defined]
        assert "\n" not in str(raised.value) and not (tmp_path / f"c{wrong}").exists()


def test_a_suffix_is_refused_before_anything_is_measured(trained: Path, tmp_path: Path) -> None:
    fresh = dc.Investigation(trained / "runs/tiny-seed0", out=tmp_path / "out", tokens=1500)
    with pytest.raises(ValueError, match=r"x\.jpg: it is written as \.html, \.png, \.svg, \.pdf or \.csv"):
        fresh.rllc("L1H2", steps=[60]).save("x.jpg")
    assert not [*tmp_path.rglob("*.safetensors")]


def test_tables_are_the_frames(inv: dc.Investigation, tmp_path: Path) -> None:
    heads = pd.read_csv(inv.save(tmp_path / "heads.csv"), index_col="head")
    assert heads.index.tolist() == inv.snapshot.heads and heads.effect.to_list() == pytest.approx(
        inv.heads.effect.to_list()
    )
    curve = inv.rllc("L1H2", steps=[60])
    assert pd.read_csv(curve.save(tmp_path / "curve.csv")).value.tolist() == pytest.approx(curve.frame.value.tolist())


def test_whatever_shows_itself_saves_itself() -> None:
    lacking = {}
    for package in ("ablations", "circuits", "experiments", "llc"):
        for file in (ROOT / package).rglob("*.py"):
            for made in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)):
                names = {method.name for method in made.body if isinstance(method, ast.FunctionDef)}
                if names & {"_repr_html_", "plot"} and "save" not in names:
                    lacking[str(file.relative_to(ROOT))] = made.name
    assert set(lacking) == NOT_OF_A_RUN, lacking
