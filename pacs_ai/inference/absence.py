"""Libraries that another one would load merely because they are installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Within the block these packages cannot be imported, as if they were not installed; those that are, stay.

    Not for a program whose other threads import them at that time.
    """
    kept_out = [name for name in names if name not in sys.modules]
    # None is Python's own mark for a module that is not to be found (importlib, "sys.modules").
    sys.modules.update(dict.fromkeys(kept_out))  # type: ignore[arg-type]  # typeshed knows no such mark
    try:
        yield
    finally:
        for name in kept_out:
            del sys.modules[name]
