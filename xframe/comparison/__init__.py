"""Is it the same: runs against their plan and against each other."""
