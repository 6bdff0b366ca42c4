"""What the sweep over causes is made of: plans and rows with a known fault, and the check of a cause's words."""
