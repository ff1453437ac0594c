"""What the network is fed: prepared people, examples and batches of them."""
