"""What `./champipy` runs: the embedded servers, the processes, and the supervisor over them.

`__main__` reads the command line; `commands` and `one_off` carry it out; `supervisor` starts,
watches and stops what `services` lists; `postgresql` and `valkey` are the embedded servers;
`install` is run by the shell script before anything is installed.
"""
