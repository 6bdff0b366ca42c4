"""The update rules of a task, where its writer imports them from; they are defined in ``xframe.tasks.optimizers``."""

from xframe.tasks.optimizers import *  # noqa: F403
from xframe.tasks.optimizers import __all__ as __all__
