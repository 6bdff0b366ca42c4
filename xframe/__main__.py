"""``python -m xframe`` is ``xframe``, which finds no modules in the current folder but a task's that is asked for."""

import os
import sys

if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]  # before anything is imported that a file there could be taken for

from xframe.cli.app import main

main()
