"""Scores, head types, composition, and the circuits they make."""
