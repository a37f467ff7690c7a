"""A run looked at head by head, in a notebook or a script: an overview, cards of heads, circuits and comparisons."""

from experiments.investigate.investigation import Investigation

__all__ = ["Investigation"]
