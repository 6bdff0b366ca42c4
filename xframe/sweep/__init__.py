"""Many trials of one file: a grid of plans × tasks × adapters × seeds, each trial a process of its own.

Its files:

    grid.py      the file that lists the trials, and what is wrong with one
    trial.py     runs one trial by the harness, and makes its row
    folder.py    a sweep's folder: what of it is done, and that nobody else works in it
    engines.py   joblib: where the trials run
    table.py     the columns of the results, and the file that holds them
    result.py    what a sweep found, and how that reads
    sweeping.py  the whole: begins or goes on, runs what is missing, writes the table
"""
