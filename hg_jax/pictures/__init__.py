"""Overlays, sheets, charts and the comparison of runs."""
