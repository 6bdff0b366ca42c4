"""Which plan the rows follow: from the rows of one run alone to the plans that reproduce them.

Its files:

    inferring.py   ``infer``: all plans that explain a run, and where none fits
    reproducing.py ``reproduce``: the simplest plans and the order of the samples, for a diagnosis to start from
    observed.py    the rows of a run, and what is computed once from them
    passes.py, epochs.py   hypotheses on parts of a plan, each checked against the rows
    fits.py        accumulation and limits, and plans put together from hypotheses
    orders.py      the orders that ids allow
"""
