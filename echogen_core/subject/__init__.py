"""From a picture to its subject on a plain ground."""
