"""Interventions on heads and paths, and their effects; how an attention-only model runs."""
