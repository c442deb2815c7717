"""How the C library hands out memory: many threads with radiographs must not each keep a pool of their own."""

import ctypes
import sys

_M_ARENA_MAX = -8  # glibc, malloc.h
_POOLS = 2


def share_pools() -> None:
    """Freed memory of one thread serves the next; with glibc's default of eight pools a core it stays where it was.

    Only glibc knows such pools; elsewhere nothing changes. To be called before the threads begin.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _POOLS)
