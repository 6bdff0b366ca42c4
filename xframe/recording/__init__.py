"""Taking what is seen: the recorder, and logs written by others. Imports no framework, and must not slow the step.

Its files:

    recorder.py  Recorder and ``record``: takes steps, blocks of steps, validations, weights
    beginning.py how a trace begins: its file, and the run before it where it continues another
    waiting.py   what was taken and is not yet written
    replicas.py  which replica of a run a process is; several.py: recorders of all replicas in one process
    flushing.py  the part of a recorder that writes it, and states checkpoints
    unclosed.py  recorders that nobody closed keep their rows; forked processes leave them alone
    versions.py  of what a process has loaded
    values.py    numbers, arrays and tensors of any framework, on any device, as the columns of ``trace/schema.py``
    logs/        CSV, JSON lines and TensorBoard's events as traces, one file a kind
    identity.py  prints: which sample it is, by its content
    attach/      scripts as they are, watched from outside
"""
