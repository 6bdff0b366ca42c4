"""Taking what is seen: the recorder, and logs written by others. Imports no framework, and must not slow the step.

Its files:

    recorder.py  Recorder and ``record``: takes steps, blocks of steps, validations, weights
    unclosed.py  recorders that nobody closed keep their rows
    values.py    numbers, arrays and tensors of any framework, on any device, as the columns of ``trace/schema.py``
    logs/        CSV, JSON lines and TensorBoard's events as traces, one file a kind
"""
