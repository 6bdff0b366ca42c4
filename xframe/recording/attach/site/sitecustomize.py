"""Python imports this when it starts under ``xframe record``: the process records itself once a framework is imported.

It imports the standard library alone, since the interpreter may be any. Whatever sitecustomize it hides runs too, and
the script's ``sys.path`` is the one that it would have had. What fails here keeps no script from running.
"""

import json
import os
import sys
from importlib import util
from importlib.machinery import PathFinder
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))


def _say(**words: Any) -> None:
    """Tells the launcher, if it is still there."""
    try:
        with open(_SAID, "a", encoding="utf-8") as file:
            file.write(json.dumps(dict(words, process=os.getpid())) + "\n")
    except OSError:
        pass


def _trouble(text: str) -> None:
    """Tells the launcher, and who looks at what the script prints; ``shown``: the launcher prints to the same place."""
    shown = False
    try:
        sys.stderr.write("xframe: " + text + "\n")
        sys.stderr.flush()
        place = os.fstat(sys.stderr.fileno())
        shown = f"{place.st_dev} {place.st_ino}" == _STDERR
    except (AttributeError, OSError, ValueError):  # the script has none, or closed it
        pass
    _say(trouble=text, shown=shown)


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
            _trouble(
                framework + " is not recorded: " + sys.executable + " cannot import xframe (" + str(error) + "). "
                "Install it there: " + sys.executable + " -m pip install xframe-toolkit"
            )
        else:
            attach_here(framework, _OUT, _say, _trouble, _IDENTITY, (_CAPTURED, _MEGABYTES), _PROOF, _CONTINUES)

    instruments.OnImport(_FRAMEWORKS.split(","), attach).start()


def _shadowed() -> None:
    sys.path[:] = [entry for entry in sys.path if entry != _HERE]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        module = util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if "XFRAME_FRAMEWORKS" in os.environ:  # read now, since a script may change its environment
    _OUT, _SAID, _FRAMEWORKS = (os.environ["XFRAME_" + name] for name in ("OUT", "SAID", "FRAMEWORKS"))
    _STDERR = os.environ.get("XFRAME_STDERR", "")
    _IDENTITY = os.environ.get("XFRAME_IDENTITY", "close")
    _PROOF = os.environ.get("XFRAME_PROOF", "")
    _CONTINUES = os.environ.get("XFRAME_CONTINUES", "")
    _CAPTURED, _MEGABYTES = map(int, os.environ.get("XFRAME_CAPTURE", "0 1").split())
    _say(python=sys.version.split()[0])
    os.register_at_fork(after_in_child=lambda: _say(forked=True))
    try:
        _watch()
    except Exception as error:
        _trouble("nothing is recorded of Python " + sys.version.split()[0] + ": " + str(error))
_shadowed()
