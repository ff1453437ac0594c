"""The loop, one update of the weights, and what it logs."""
