"""Renders a Comparison: ``text`` for the terminal, ``markdown`` for people; and shows ``progress``."""
