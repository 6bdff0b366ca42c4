"""Makes frameworks fail to be imported, and notes who asked for one."""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder

FRAMEWORKS = ("torch", "tensorflow", "keras", "jax")
ASKED = "XFRAME_QUICK_ASKED"  # the environment variable that names the file for notes


class Refusing(MetaPathFinder, Loader):
    """Finds a framework where it is, as ``find_spec`` must, and refuses to execute it."""

    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path) if name in FRAMEWORKS else None
        if spec is not None:
            spec.loader = self
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        with open(os.environ[ASKED], "a") as notes:
            notes.write(f"{module.__name__}\n")
        raise ImportError(f"{module.__name__} is not to be imported under --quick")


def refuse():
    """From now on, in this process."""
    sys.meta_path.insert(0, Refusing())
