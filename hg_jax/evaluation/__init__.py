"""From weights to joints, scores and files of them."""
