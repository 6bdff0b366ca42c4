"""What is written in one framework as another writes it: optimizers, schedules, losses, layers.

    from xframe.translate.translating import translate
    print(translate("keras.optimizers.Adam(1e-3, weight_decay=0.004)", to="torch").written.code)

An expression is data: parsed, bounded, never evaluated. It is read as the rule that it is, and the rule is written for
the other framework, exactly or not at all.

Its files:

    parsing.py      one expression as a call of names and literals
    compiling.py    model.compile as the calls of its optimizer and its loss
    names.py        the names that are known, their signatures (signatures/*.txt), what a call gives each argument
    written.py      what is written, and the refusal of it
    schedules       learning rate schedules
    optimizers      optimizers, with their schedule, clipping and averages
    losses          losses
    layers          layers, and models whose layers follow one another
    ruling.py       one rule as a line of each framework
    translating.py  one expression into another framework
    rendering.py    translations as text and Markdown
"""
