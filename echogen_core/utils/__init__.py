"""What every room needs of the system: files, locks, processes, text for people."""
