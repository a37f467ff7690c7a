"""Interventions on heads and paths, and their effects; how a model runs as functions of its weights."""
