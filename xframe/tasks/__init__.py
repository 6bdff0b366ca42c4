"""What is computed: data, model, loss, optimizer and initial weights, independent of any framework.

Its files:

    task.py       Task, which holds all of it; lookup.py finds one by name
    layers/       neutral layers, which adapters lower to native ones; builders.py is for a user's own native models
    optimizers/   update rules, each the formula it is
    losses/       losses, each the formula it is
    schedules.py, data.py, initial.py   its other parts
    plain.py      what rules, losses, schedules and layers share as values: shown, made from data, known by names
    builtin/      the built-in tasks, one file each
"""
