"""The NumPy adapter: every gradient by hand. Slow, small, and easy to check against.

Its files, which have the same names in every adapter:

    adapter.py     what it can do, and ``run``: the adapter contract
    pipeline.py    batches of samples with their ids, by the framework's own means
    model.py, layers/, losses.py, optimizers.py   a task's parts, lowered to the framework's own
    step.py        one training step; validation.py: one validation
    state.py       what a step is between two calls, taken and set; stages.py: its stages apart
    evidence.py    by which signs an update counts as applied
    bench.py       its loops for ``xframe bench``

The others also have ``loops``, those that do not go step by step, and for scripts as they are ``instruments``,
``settings`` and ``identity``: what is seen of a training, what was set, and which sample it is; and ``pairing``: what a
user's own model has for parameters.
"""

from xframe_numpy.adapter import NumpyAdapter

__all__ = ["NumpyAdapter"]
