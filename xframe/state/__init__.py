"""The whole state of a training between two steps, in one form that no framework owns.

Its files:

    state.py     State: what there is, by canonical names; whether one is like another
    file.py      its file, which is safetensors
    record.py    Record: one step taken apart, what it began from, what its stages made and what it left; its file
    pairing.py   whose parameter is whose, in two models with names and layouts of their own
"""
