"""Tells what the program says about its input from a mistake in the program.

Both may be a ValueError: numpy, xarray and torch raise it for arrays that do not fit, our own `raise` statements for
values that a user gave. Only the latter are told in one line; a bug keeps its traceback.
"""

import dis
from concurrent.futures import CancelledError
from pathlib import Path

from ablations.not_measurable import NotMeasurable
from experiments.jobs import memory

OURS = tuple(str(Path(__file__).parents[2] / name) for name in ("ablations", "llc", "circuits", "experiments"))


class Bug(RuntimeError):
    """A job failed for a reason that is not in its input; its cause has the traceback."""


def is_about_input(error: BaseException) -> bool:
    """Whether an error says something about the input: a ValueError of one of this program's own `raise` statements.

    A ValueError that a worker process sent has lost its traceback; the worker has asked the same (`as_told`).
    """
    if not isinstance(error, ValueError):
        return False
    if isinstance(error, NotMeasurable) or getattr(error, "about_input", False):
        return True
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    if frame is None:
        return False
    code = frame.tb_frame.f_code
    is_raise = dis.opname[code.co_code[frame.tb_lasti]] == "RAISE_VARARGS"
    return is_raise and code.co_filename.startswith(OURS)


def is_bug(error: BaseException) -> bool:
    """Whether a mistake in the program made a job fail, and not its input, memory, a file or a worker."""
    return not (is_about_input(error) or isinstance(error, OSError | CancelledError) or memory.ran_out(error))


def as_told(error: ValueError) -> Exception:
    """What a job raises for a ValueError: the error, marked as one about the input, or a Bug."""
    if not is_about_input(error):
        return Bug(f"{type(error).__name__}: {error}")
    error.about_input = True  # type: ignore[attr-defined]
    return error
