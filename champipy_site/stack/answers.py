"""Exits with 1 if a process of this container does not answer.

Health checks call it: `python -m champipy_site.stack.answers web`. A worker, or beat, is asked
through the broker; where that does not answer, nobody can be asked, and a restart mends nothing.
"""

import os
import socket
import sys

from champipy_site.stack.services import node_answers, own_address, web_answers
from champipy_site.stack.valkey import broker_answers

WEB_PORT = 8000


def main(name: str) -> int:
    """Return 0 if the process answers, else 1."""
    if name == "web":
        return int(not web_answers(own_address("127.0.0.1", WEB_PORT)))
    is_up = node_answers(f"{name}@{socket.gethostname()}")
    return int(not is_up and broker_answers(os.environ["REDIS_URL"]))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "champipy_site.settings")
    sys.exit(main(sys.argv[1]))
