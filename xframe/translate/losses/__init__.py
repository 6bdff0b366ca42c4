"""Losses: each framework's own as the loss it is, and a loss as a framework's own or as a function.

Its files:

    reading.py    a call as its loss
    writing.py    a loss as a framework's own where that is it
    functions.py  else ``def loss(outputs, targets)``, of operations that all have: ``torch.log``, ``jnp.log``
"""
