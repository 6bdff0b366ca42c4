"""The learning rate schedules of a task, where its writer imports them from; see ``xframe.tasks.schedules``."""

from xframe.tasks.schedules import *  # noqa: F403
from xframe.tasks.schedules import __all__ as __all__
