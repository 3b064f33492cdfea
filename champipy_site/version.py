"""The version of ChampiPy; `./champipy --version` reads this file."""

VERSION = "0.1.0"
