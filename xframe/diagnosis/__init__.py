"""Why not: the causes of a difference. Begins where the comparison ended, and judges no row or number again.

Its files:

    explaining.py  ``explain``: from Findings to causes and sentences
    diagnosing.py  why one run's rows, labels or numbers differ: asks every cause
    claims.py      what sentences claim besides, which the comparison's table may refute; backing.py: what settings say
    ranking.py     orders the causes and decides which is certain; totals that agree by chance
    causes/        the causes, a file a small family; a new one is a new file there, and nothing else
    naming.py      sentences without numbers of samples that are in no run's data
    fixes.py       what fixes are filled in with, and which are for the frameworks in use
    cause.py       what a cause is: name, meaning, finders, sentence, fixes, rank
    case.py        a candidate beside its reference; reference.py the plans and order behind the reference
    keys.py, edits.py, passes.py, draws.py, shares.py, numbers.py, evidence.py   what several causes ask of a case
    replicas.py    what each replica of a run had of the steps that they shared
    counts.py      counts of updates that a run has at some steps only
    joining.py     what steps from one state show, and what rows and settings show: one list
    composing.py   two causes at once; two_orders.py of two runs with orders of their own
"""
