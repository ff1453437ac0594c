"""Settings, errors, coordinates and what every command shares."""
