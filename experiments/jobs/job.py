"""One job of a sweep."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Job(NamedTuple):
    """A module-level function that stores what it computes in the folder that is its first argument."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]
    seconds: float  # rough cost on one core, for the progress bar
    name: str  # for a person to read, one in its folder
    parts: tuple["Job", ...] = ()  # to be done instead where it runs out of memory
    kind: str = ""  # jobs of one kind take longer or shorter than their `seconds` in the same way

    @property
    def folder(self) -> Path:
        return self.arguments[0]


class JobsFailed(RuntimeError):
    """Some jobs failed; the others are done and stored."""

    def __init__(self, message: str, errors: Sequence[BaseException]) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
