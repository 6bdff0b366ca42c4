"""Experiments: small plans and scripts, each answering one question with real training in both frameworks.

    python -m experiments                all of them, under 25 minutes on two cores
    python -m experiments 03 05          these, by number or name
    python -m experiments --check 03     run again, and compare with results/ to the precision that it states
    python -m experiments --small 03     few seeds and steps, to see that it works; writes to xframe-runs/

Each folder ``NN_name`` has a ``setting.md``, the question and how it is put; an ``experiment.py``, its plans and tasks,
whose ``run(lab)`` trains and returns a ``Result`` with its tables; and a ``learned.py``, whose ``learn(result)`` adds
what they show, in words and figures. It is written to ``results/NN_name``. What they share is in ``common/``:

    tasks.py       what is trained: the bundled handwritten digits, with starting weights drawn anew for each seed
    training.py    trials, the runs of plans, all of a framework's in one process
    grid.py        a plan and a task at each point, trained with several seeds in both; what all ask of a point
    lab.py         where an experiment runs
    statistics.py  means over seeds, with their intervals
    provenance.py  which code and packages made it
    results.py     tables, what was learned from them, figures, the page they are written on; two results compared

The scripts beside the folders are the README's: one training in each framework, as a person would write it.
"""
