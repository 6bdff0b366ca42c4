"""The whole state of a training between two steps, in one form that no framework owns.

Its files:

    state.py     State: what there is, by canonical names; whether one is like another
    file.py      its file, which is safetensors
    pairing.py   whose parameter is whose, in two models with names and layouts of their own
"""
