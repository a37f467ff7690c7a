"""Posterior sampling and learning coefficients."""
