"""The losses of a task, where its writer imports them from; they are defined in ``xframe.tasks.losses``."""

from xframe.tasks.losses import *  # noqa: F403
from xframe.tasks.losses import __all__ as __all__
