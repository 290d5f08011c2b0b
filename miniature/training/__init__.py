"""Training of the miniature and of the built-in cut, a module per stage and one per training loop."""
