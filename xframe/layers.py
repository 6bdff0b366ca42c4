"""The layers of a task, where its writer imports them from; they are defined in ``xframe.tasks.layers``."""

from xframe.tasks.layers import *  # noqa: F403
from xframe.tasks.layers import __all__ as __all__
