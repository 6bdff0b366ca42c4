"""Optimizers: each framework's own as the rule it is, and a rule as what the framework has for it.

``keras.py``, ``torch.py`` and ``optax.py`` each read and write those of one framework. Where its own optimizer is the
rule, that is what they write; else the drop-in optimizer of ``xframe_torch.optim`` or ``xframe_tensorflow.optim``, and
beside it the native one with the lines that make it the rule. ``trained.py`` is what they pass between them.
"""
