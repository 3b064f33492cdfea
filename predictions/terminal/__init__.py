"""`./champipy predict`: asks the running web process, or scores in its own process.

`__main__` is what the shell script runs. It imports no Django, so that an answer of the running
stack takes a third of a second. Where nothing runs, it hands over to manage.py, whose command
`predict` shares arguments, photos and output with it.
"""
