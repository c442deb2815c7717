"""How the C library hands out memory: many threads with radiographs must not each keep a pool of their own."""

import ctypes
import sys

# glibc, malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_POOLS = 2
_LARGEST_IN_POOL = 32 << 20  # the most that glibc takes; a radiograph of 2500 x 2048 has 10 MB
_KEPT_FREE = 64 << 20


def share_pools() -> None:
    """Freed memory of one thread serves the next; with glibc's default of eight pools a core it stays where it was.

    The memory of a radiograph is kept for the next one too: given back and asked for again, each of its pages is a
    fault, which took as long as all that is done with the pixels. Only glibc knows such pools; elsewhere nothing
    changes. To be called before the threads begin.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _POOLS)
            mallopt(_M_MMAP_THRESHOLD, _LARGEST_IN_POOL)
            mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
