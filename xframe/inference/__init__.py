"""Which plan the rows follow: from the rows of one run alone to the plans that reproduce them.

Its files:

    inferring.py  ``infer``, which runs all the steps below
    clues.py      what is computed once from the rows
    passes.py, orders.py, epochs.py, windows.py   hypotheses on each part of a plan
    fits.py       plans put together from them; statement.py says what these share; misfit.py where none fits
"""
