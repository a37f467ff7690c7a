"""Names of tasks and presets as the command line takes them, without loading what they name.

The figures' stand in `experiments.figures`, which loads none either. A test holds these against the modules themselves.
"""

TASKS = ("induction", "brackets", "quotes", "skipgram")
PRESETS = ("tiny", "synthetic", "mini", "small", "paper")
