"""The models on disk: scanning folders, caching what the files are, downloading."""
