"""The findings as tests: one file for each claim, with its criterion, its null and its negative controls.

`table` has them all, in their order; what several claims share stands in a file of its own. `experiments.study` holds
the runs that all look at together, and what a claim returns.
"""
