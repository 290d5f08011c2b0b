"""Training pictures of the miniature: from packages to composed pairs."""
