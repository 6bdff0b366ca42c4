"""In every process that a test under ``--quick`` starts: its folder is the first of their PYTHONPATH."""

from refusing import refuse

refuse()
