"""A setting's table and figure as files."""

from pathlib import Path
from types import ModuleType

from experiments.plots import render
from experiments.settings import table
from experiments.settings.parts import Measured
from experiments.storage.files import write_bytes


def write(name: str, setting: ModuleType, measured: Measured, out: Path) -> tuple[str, list[Path]]:
    """Writes out/NAME.csv, .svg and .png; returns the table as text, and the paths."""
    rows, figure = setting.rows(measured), setting.draw(measured)
    contents = {
        "csv": table.frame(rows).to_csv(index=False).encode(),
        "svg": render.image_file(figure, "svg"),
        "png": render.image_file(figure, "png"),
    }
    paths = [out / f"{name}.{suffix}" for suffix in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_bytes(path, content)
    return table.text(rows), paths
