"""How nano and the built-in cut are made and evaluated. Nothing in the pack imports it."""
