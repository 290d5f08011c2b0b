"""The miniature's training pictures, from installed packages to composed pairs."""
