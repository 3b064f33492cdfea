"""Asks Mushroom Observer for observations and names, and writes there what somebody clicked.

`client` reads, `writes` writes, `references` reads what people paste and makes the addresses of
pages, `answers` are the types of what comes back, `errors` says why nothing came.
"""
