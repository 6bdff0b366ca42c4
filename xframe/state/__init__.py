"""The whole state of a training between two steps, in one form that no framework owns.

Its files:

    state.py   State: what there is, by canonical names
    file.py    its file, which is safetensors; whether a state is like another
"""
