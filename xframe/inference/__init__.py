"""Which plan the rows follow: from the rows of one run alone to the plans that reproduce them.

Its files:

    inferring.py   ``infer``: all plans that explain a run, what they share, and where none fits
    reproducing.py ``reproduce``: the simplest plans and the order of the samples, for a diagnosis to start from
    clues.py       what is computed once from the rows
    passes.py, epochs.py, windows.py   hypotheses on each part of a plan, each checked against the rows
    orders.py      the orders that ids allow; shown.py the one that the rows show, learned where it must be
    fits.py        plans put together from hypotheses; statement.py what they share; misfit.py where none fits
    cells.py       which pass and place each sample of a batch comes from
"""
