"""Makes a trace of the log that people have instead of one: CSV, JSON lines, or TensorBoard's event files.

A log says less than a trace. What it lacks stays unknown in the trace, and a comparison calls it not judged;
nothing is made up for it, and a log of every n-th step is refused rather than filled in. Numbers are read
strictly: what is no number, or a number that cannot be, is refused with its line. Nothing in a file is run.

One file a kind of log; ``importing.LOGS`` lists them. What they share: ``log`` (what a kind of log must do, and
which numbers a column takes) and ``importing`` (which of the log's columns is which of the trace's).
"""

from xframe.recording.logs.importing import import_run as import_run
