"""The stages that train the miniature and the built-in cut."""
