"""Why not: the causes of a difference. Begins where the comparison ended, and judges no row or number again.

Its files:

    explaining.py  ``explain``: from Findings to causes and sentences; asks every cause
    ranking.py     orders the causes and decides which is certain; totals that agree by chance
    causes/        the causes, a file a small family; a new one is a new file there, and nothing else
    fixes.py       which of a cause's fixes are for the frameworks in use
    cause.py       what a cause is: name, meaning, finders, sentence, fixes, rank
    case.py        a candidate beside its reference; reference.py the plans and order behind the reference
    keys.py, edits.py, passes.py, draws.py, numbers.py   what several causes ask of a case
    composing.py   two causes at once; two_orders.py of two runs with orders of their own
"""
