"""Goldens: what a run must do, in a small text kept beside the tests and read by whoever reviews a change of it.

A golden holds a run's structure exactly, as its certificate and counts, and its numbers with the tolerance that they
are compared by. Where the structure differs a certificate cannot say where, so the golden has digests of at most 24
ranges of steps too; a run of as few steps is held step by step. Losses and learning rates are the means of each range,
and those of a few single steps: of a longer range, one number that is off shows as far as it moves the mean. No time
is in it, so that the same run gives the same text.

A golden is a file from somebody: it is bounded before it is parsed, fits one schema, and has a digest of what it says,
so that one that was changed by hand or cut is refused.

    golden.py     the file: what it states, its text, how it is read
    ranges.py     the digests and means of ranges of steps
    blessing.py   from a trace to a golden
    holding.py    runs judged by a golden: an ordinary ``Comparison``; structure.py and numbers.py judge one run
"""
