"""Why not: the causes of a difference."""
