"""Pairs of training scripts whose every mistake is known: does xframe see it, where it begins, and why?

Scripts as people write them: Keras' ``fit`` and ``GradientTape`` loops on one side, torch loops on the other, recorded
with ``xframe.record``. A mistake is a setting of one of the two; what must be reported of it was worked out by
hand. A harmless variant trains the same and records it a little differently; it must pass.

    python -m sweeps pairs 1000 --seed 0        (in tests/; a smaller size draws that many)

    script.py          everything that a script may do, as one frozen value; the data and the starting weights
    drawing.py         which samples a script draws, pass by pass and batch by batch, mistakes included
    noting.py          what a script hands to the recorder, the odd ways included
    torch_scripts.py   the loops in torch; tensorflow_scripts.py those in Keras and TensorFlow
    worker.py          runs many scripts in one process of a framework
    pairs.py           the pairs
    cases.py           what a case is; places.py the pairs and steps of a mistake
    mistakes/          the mistakes, a file a kind, with the check, the step and the causes that are right
    harmless.py        the variants that must pass
    judging.py         runs the cases, compares, counts; reading.py reads the sentences

Nothing here imports what diagnoses.
"""
