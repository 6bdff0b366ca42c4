"""The NumPy adapter: every gradient by hand. Slow, small, and easy to check against."""

from xframe_numpy.adapter import NumpyAdapter

__all__ = ["NumpyAdapter"]
