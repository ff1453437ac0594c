"""Annotations, photos, prepared crops and the inputs made of them."""
