"""The documented import `from experiments.adopt import adopt`; what it does is in `experiments.runs.adopt`."""

from experiments.runs.adopt import adopt

__all__ = ["adopt"]
