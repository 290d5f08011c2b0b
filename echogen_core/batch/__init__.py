"""Many pictures from a table of jobs, shared out over processes: rows, plan, log, and the work itself."""
