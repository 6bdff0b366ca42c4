"""Is it the same: runs compared with their plan and with each other, structure first, numbers after.

Every run is compared with the plan, if there is one, and every further run with the first. Numbers are judged up to
the structure's first difference and not beyond: after it the runs are different runs. What lacks evidence is "not
judged", and a comparison whose structure was not judged never passes.

Its files:

    judging.py    ``judge``: from traces to ``Findings``
    given.py      which plan and number of samples they are compared by
    groups.py     which of many runs were meant to be alike
    identity.py   which sample is which, where runs have no common indices; prints.py how contents are compared
    pairing.py    the sides, and a candidate and its reference walked through block by block
    readings.py   records that lag, or average (averages.py), recognised where runs differ, and read as what they are
    check.py      what a check is
    checks/       the checks, one file each; a new one is a new file there
    own_orders.py whether two scripts each shuffled by itself; by_sample.py: their contents by sample, in any order
    replicated.py what replicas' own traces show of a run that they shared
    parting.py    whether losses of captured scripts part by rounding that grows
    far_apart.py  how runs in orders of their own ended
    passes.py     where the passes of such runs begin; drawn.py reads what they drew in pieces
    captures.py   what was captured beside scripts' traces, judged; which option would tell more
    settings.py   what was set differently, ranked; far_apart.py: losses that end far apart; no verdict rests on either
    result.py     what comes out: tolerance, results, causes, the comparison; table.py: its table
    goldens/      what a run must do, kept as a small text
"""
