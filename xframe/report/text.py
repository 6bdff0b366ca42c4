def text(c): return str(c)
