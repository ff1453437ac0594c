"""A network on a split: its scores and files of its predictions."""
