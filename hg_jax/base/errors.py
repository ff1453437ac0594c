"""The error that every command prints as one line."""


class UserError(Exception):
  """What was wrong, where, and what to do, in one line for the user."""
