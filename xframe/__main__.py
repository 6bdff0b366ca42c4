"""``python -m xframe`` is ``xframe``."""

from xframe.cli.app import main

main()
