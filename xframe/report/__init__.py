"""How results read. Each form renders the same result; none judges, and none trusts what a trace says of itself.

Its files:

    view.py                 what every form shows of a comparison, in tables and words (words.py)
    text.py, markdown.py    it for the terminal, for a colleague; inferred.py: the plan inferred from one run
    numerics.py             what steps from one state showed: the worst values beside their bounds
    groups.py               what is shown of many runs that were not all meant to be alike
    page/                   it as one HTML file; around.py: the steps around the first difference
    pictures.py             what is drawn: from series.py, columns made small, by drawing.py, as SVG
    plans.py, trainers.py   a plan's arithmetic; several trainers' plans side by side
    reasons.py              why these count differently; same_steps.py: whether they do
    bench.py                what a bench measured; estimates.py: medians over rounds; machine.py: where it was
    json_form.py            any result as valid JSON
    exports/                a trace in the forms of other tools
    progress.py             live bars and lines on stderr

``xframe/tables.py`` is the one writer of tables.
"""
