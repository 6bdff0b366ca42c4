"""Translations against their sources: each printed text is run as Python beside the expression that it is for.

That is the tests' own table, which is why it may be run; ``xframe translate`` itself evaluates nothing.

    expressions.txt   the table
    table.py          reading it
    optimizers.py     50 updates of both, the same gradients, from the same weights each time
    schedules.py      both rates, update by update
    losses.py         both losses and their gradients at the outputs
    layers.py         both layers' outputs, of the same data and weights
    installed.py      the signatures that are installed, beside those that are known
    proving.py        all or a sample of the table, in one process
"""
