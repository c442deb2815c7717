"""Ports for those who have to be told one before they listen, or on which nobody is to listen."""

import os
import socket
from contextlib import closing
from itertools import count

# Below the ports that a system gives away by itself (from 32768 on Linux): nobody else is given one of these between
# its choice and its use. Workers side by side have each their own, and those of another run begin elsewhere.
_FIRST, _EACH, _WORKERS = 20_000, 3_000, 4
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_ports = (_FIRST + _EACH * _WORKER + turn % _EACH for turn in count(os.getpid()))


def free_port() -> int:
    """A port of this machine on which nobody listens; it is long until the same is named again."""
    return next(filter(_is_free, _ports))


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
