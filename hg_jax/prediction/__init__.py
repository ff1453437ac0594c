"""From photos and videos to people and their joints."""
