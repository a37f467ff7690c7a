"""The findings of the paper as tests: one file for each claim, with its criterion, its null and its negative controls.

`study` holds the runs that all of them look at together, `compute` what they rest on, and `table` what was found.
"""
