"""Doing it natively: adapters, what steers their loops, and the processes they run in."""
