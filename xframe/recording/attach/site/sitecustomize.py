"""Python imports this when it starts under ``xframe record``: the process records itself once a framework is imported.

It imports the standard library alone, since the interpreter may be any. Whatever sitecustomize it hides runs too, and
the script's ``sys.path`` is the one that it would have had.
"""

import os
import sys
from importlib import util
from importlib.machinery import PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))


def _watch() -> None:
    spec = util.spec_from_file_location("_xframe_instruments", os.path.join(os.path.dirname(_HERE), "instruments.py"))
    assert spec is not None
    assert spec.loader is not None
    instruments = util.module_from_spec(spec)
    sys.modules[spec.name] = instruments
    spec.loader.exec_module(instruments)

    def attach(framework: str) -> None:
        try:
            from xframe.recording.attach.launching import attach_here
        except ImportError as error:
            sys.stderr.write(f"xframe: {sys.executable} cannot import xframe, so nothing is recorded: {error}\n")
        else:
            attach_here(framework)

    instruments.OnImport(os.environ["XFRAME_FRAMEWORKS"].split(","), attach).start()


def _shadowed() -> None:
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        module = util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if "XFRAME_FRAMEWORKS" in os.environ:
    _watch()
_shadowed()
