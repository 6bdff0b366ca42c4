"""Scripts as they are: a training is seen from outside, nothing in it is written for xframe.

Its files:

    watching.py     ``xframe.watch``: whatever trains inside its block is recorded
    launching.py    ``xframe record``: runs a command, in which each Python process records itself
    reporting.py    what came of such a command, in words
    here.py         such a process: opens a trace with its first step, closes it when it ends
    continuing.py   a script that resumes a run: the trace before it, and what its optimizer knows of that
    guarding.py     a machine that reports what goes wrong in it, and never stops the training
    site/           what such a command's Python finds first; it imports the standard library alone
    instruments.py  what adapters bring to see a framework's training, found by entry point
    patches.py      functions replaced for a time
    machine.py      makes rows of what instruments see: batches, uses, backward passes, updates
    adding.py       what is added up of several backward passes or optimizers
    proving.py      ends such a process after a step, and digests of its state, for ``xframe prove-resume``
    capturing.py    updates of a script taken apart, kept beside the trace
    addresses.py    facts about objects, found by their addresses
    naming.py       what settings of Keras are called, on either framework
    batch.py        what pipelines hand out
    passes.py       evaluation passes, which become validations
"""
