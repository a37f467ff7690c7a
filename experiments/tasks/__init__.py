"""Tasks made of prompts (induction, brackets, quotes, skip trigrams), and which paths and heads carry them.

A task's prompts, the effects of paths on them and the circuit that is found all stand here.
"""
