"""Doing it natively: adapters, what steers their loops, and the processes they run in.

Its files:

    adapter.py      the adapter contract; registry.py finds adapters by name
    steering.py     for adapters: epochs, windows, validation and the end of training; their position is read and set
    drive.py        the one loop of all adapters that go step by step; stages.py: a step's stages apart
    training.py     a training between two steps, of any loop: its whole state, and going on from one
    checkpoints.py  what a run keeps, when and where it stops; keeping.py: the same in a worker;
                    resuming.py: what a run that goes on takes from its checkpoint, and what it refuses;
                    standing.py: where its plan and its trace have it, which an edited checkpoint does not
    resync.py       an adapter's step from another's state; judged_steps.py: which steps; perturbing.py: rounding alone
    resynchronising.py  reference and candidates are asked for steps, in workers or here; answering.py makes them;
                    judging_messages.py: questions and answers
    states.py       a training's state read and written, checked by its rule and position
    request.py      all options of a run, checked once, and its output folder; runtime.py: device, precision, threads
    folders.py      a folder of its own for each of several runs, until all have ended
    harness.py      starts a worker for each run or replica and watches them until they end; workers.py: as it sees one;
                    worker.py is that child process
    replicas.py     where replicas in processes of their own meet, and which is at fault when their run ends badly
    launch.py       what a launcher says that started this process; meeting.py: the folder where its replicas meet
    processes.py    starts and stops any child process; messages.py: what parent and child send each other
    guard.py        the process between a parent and its child, which ends the child when the parent is gone
    progress.py     how long runs report progress
    samplers.py     the plan's order for a user's own DataLoader or tf.data
"""
