"""``python -m xframe`` is ``xframe``."""

from xframe.cli import main

main()
