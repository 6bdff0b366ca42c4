"""What was seen: rows, one a step, and their forms on disk."""
