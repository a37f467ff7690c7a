"""What argparse refuses, in one line as everything else that is refused, with a word on where to look."""

import argparse
from difflib import get_close_matches
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """argparse prints some lines of usage before what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2."""
        self.exit(2, f"error: {message}; {self.prog} --help lists what it takes\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but a flag that a verb does not have is told with the verb's name."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            verb = f"{self.prog} {getattr(parsed, 'verb', '')}".strip()
            self.exit(2, f"error: {verb} has no {' '.join(unknown)}; {verb} --help lists what it takes\n")
        return parsed


def check_verb(name: str, verbs: tuple[str, ...]) -> None:
    """Raises ValueError for a verb that there is not, with the one that may have been meant."""
    if name not in verbs:
        near = get_close_matches(name, verbs, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no verb {name!r}: {meant}devcircuits --help lists them")
