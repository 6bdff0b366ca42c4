"""Is it the same algorithm: one step's numbers apart from rounding, and where and how two sides first differ.

A candidate makes a step from the reference's own state. What then lies between the two is one step's rounding or a
different computation; which of the two, a bound says that follows from precision, size and what was measured of the
reference alone. No tolerance is chosen.

Its files:

    result.py   Numerics: a candidate's verdict, its Distances, its Curve, its NumericCauses; their JSON form
"""
