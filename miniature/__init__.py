"""How nano and the built-in cut are made and judged; nothing of the pack imports it."""
