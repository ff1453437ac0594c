"""Drawn people, to try everything without data."""
