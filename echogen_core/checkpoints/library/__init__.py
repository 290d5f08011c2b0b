"""Which models are there: walking the folders, remembering what was found, downloads."""
