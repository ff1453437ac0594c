"""The network, and its heatmaps."""
