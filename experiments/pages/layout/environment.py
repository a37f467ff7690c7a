"""The templates of all pages: every value that stands in one is escaped unless it is HTML already (`Markup`)."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parents[1] / "templates"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates by file name; a value that a template asks for and is not given raises jinja2.UndefinedError."""
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def macros(name: str) -> Any:
    """The macros of templates/NAME.html, which are called as functions and give Markup."""
    return environment().get_template(f"{name}.html").module


@lru_cache(maxsize=1)
def style() -> Markup:
    """The stylesheet, which is ours and stands in a style element as it is."""
    return Markup((FOLDER / "page.css").read_text(encoding="utf-8"))
