"""Defines the error that every command prints as one line."""


class UserError(Exception):
  """Says in one line what was wrong, where, and what to do."""
