"""Passes over held-out text: what removing heads and paths costs there, and on which tokens.

They are parts of one question, which tokens a head is for: `ablation_pass` removes heads, the other files label the
tokens, list the most affected ones, compare heads by them, and tell head types.
"""
