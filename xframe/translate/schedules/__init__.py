"""Learning rate schedules: each framework's own as a closed form, and a closed form as a framework's own.

Its files:

    forms.py      closed forms that tasks have not: polynomials, inverse time, restarts, one after another; and any of
                  them as a formula of t
    reading.py    a call of Keras, PyTorch or optax as its form
    plateau.py    ReduceLROnPlateau, which follows a metric: why nothing is the same, and what comes closest
    writing.py    a form as such a call, or else as a formula that the framework takes
"""
