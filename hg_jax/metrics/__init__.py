"""Scores as counts that add."""
