"""A run's folder, its processes and its signals."""
