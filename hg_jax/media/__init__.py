"""What cameras made: photos, videos, and lists of them."""
