"""The code behind `./champipy`: embedded servers, ChampiPy's processes and their supervisor.

`__main__` parses the command line; `commands` and `one_off` run the commands; `supervisor` starts,
watches and stops the processes that `services` lists; `postgresql` and `valkey` are the embedded
servers; the shell script runs `install` before anything is installed.
"""
