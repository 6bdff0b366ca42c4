"""Why not: the causes of a difference. Begins where the comparison ended, and judges no row or number again.

Its files:

    causes/        the causes, a file a cause or small family; a new one is a new file there, and nothing else
    cause.py       what a cause is: name, meaning, finders, sentence, fixes, rank
    case.py        a candidate beside its reference; reference.py the plans and order behind the reference
    edits.py, keys.py, passes.py, numbers.py, windows.py   what several causes ask of a case
    diagnosing.py  asks the causes; ranking.py orders them and decides which is certain; chance.py: totals that agree
    explaining.py  ``explain``: from Findings to causes and sentences
"""
