"""The page: one HTML file that shows a result to whoever opens it, with nothing but a browser.

It loads nothing and runs nothing, and says so to the browser (its content security policy). Whatever comes from a trace
is escaped by the template engine; what is drawn has no text of a trace in it.

Its files:

    rendering.py            the page of a comparison, and of many runs; benches.py: of a bench
    *.jinja, page.css       how it is laid out
"""
