"""Programs for those who change ChampiPy. What they need is in requirements-dev.txt."""
