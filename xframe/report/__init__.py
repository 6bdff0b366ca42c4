"""How results read. Each form renders the same result; none judges, and none trusts what a trace says of itself.

Its files:

    text.py, markdown.py    a comparison for the terminal, for a colleague; words.py has the tables of both
                            and its causes; inferred.py: the plan that was inferred from one run
    plans.py, trainers.py   a plan's arithmetic; several trainers' plans side by side
    bench.py                what a bench measured
    json_form.py            any result as valid JSON
    exports/                a trace in the forms of other tools
    progress.py             live bars and lines on stderr

``xframe/tables.py`` is the one writer of tables.
"""
