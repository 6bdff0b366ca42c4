"""Which plan the rows follow."""
