"""Tasks made of prompts (induction, brackets, quotes, skip trigrams), and which paths and heads carry them.

A task's prompts, the effects of paths on them and the circuit that is found all stand here.
"""

TASKS = ("induction", "brackets", "quotes", "skipgram")


def check(name: str) -> None:
    """Raises ValueError for the name of no task; loads none of them."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
