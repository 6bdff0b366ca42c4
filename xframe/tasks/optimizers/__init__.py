"""Update rules: how a task's weights are updated, each rule the formula it is, the same in every framework.

What two frameworks call by one name is often two formulas. A field of words chooses between them, and ``dialects``
has the settings and defaults by which each framework's own name is one of these rules.

Its files:

    rule.py           what all rules have: rate, weight decay, groups, clipping, averaged weights; a rule as plain data
    sgd.py, adam.py, averages.py   the rules: SGD and Lion; Adam, NAdam and Adamax; those that divide by an average of
                      squares
    dialects.py       rules by name, with the defaults of Keras, PyTorch or this project: ``named("keras.adam")``
    reading.py        a rule as a user states it: ``read("adamw weight_decay=0.1")``, a TOML file

A new rule is a class here, a function in ``_LOWER`` of each adapter's ``optimizers.py``, and NumPy's formula of it.
"""

from xframe.tasks.optimizers.adam import Adam, Adamax, NAdam
from xframe.tasks.optimizers.averages import Adadelta, Adafactor, Adagrad, RMSprop
from xframe.tasks.optimizers.dialects import named, names
from xframe.tasks.optimizers.reading import read
from xframe.tasks.optimizers.rule import CLIPS, Average, Group, Rule
from xframe.tasks.optimizers.sgd import SGD, Lion

__all__ = [
    "CLIPS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "Adamax",
    "Average",
    "Group",
    "Lion",
    "NAdam",
    "RMSprop",
    "Rule",
    "named",
    "names",
    "read",
]
