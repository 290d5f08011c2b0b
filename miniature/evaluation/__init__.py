"""The miniature's evaluation. Nothing in here is used for training or for choosing among weights."""
