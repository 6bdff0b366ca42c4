"""What should happen: the training plan, its arithmetic, and the trainers' dialects. Imports xframe's errors alone.

Its files:

    fields.py         each field once: type, words, default, help; a new field begins here
    training_plan.py  TrainingPlan, made of them; problems.py words what is wrong with one
    cadence.py        where passes, epochs and windows end, as arithmetic
    counting.py       counts in closed form, steps by random access; adapters may not import it
    order.py          the sample order, ``xframe-order-1``; its values may never change
    equivalence.py    which plans mean the same run: the plan's digest
    replicas.py       which rows of a step each replica has
    validation.py     when a plan validates; stopping.py is the rule of early stopping
    presets/          how trainers count, one file a trainer; a new trainer is a new file there
"""
