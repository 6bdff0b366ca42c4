"""Trainings of two processes, faithful and with what goes wrong in those, beside one process that trains the same."""
