def markdown(c): return str(c)
