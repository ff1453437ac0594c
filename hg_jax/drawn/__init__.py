"""Draws people, to try everything without data."""
