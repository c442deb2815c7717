"""The program of a decoder process: it opens one film after another, and nothing is lost when it is killed.

Codecs hang, crash and fill the memory on damaged frames. Here that costs one instance. A request is a line of JSON
with `path` and `input_size`; the answer is a line of JSON, then, for a film, the bytes of its two arrays.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from pacs_ai.allocator import share_pools
from pacs_ai.errors import LimitExceeded, UndecodablePixels

from . import decoders, geometry
from .film import Film, open_film

READY = b"ready\n"
FILM, UNDECODABLE, LIMIT = "film", "undecodable", "limit"
_SPARE_SECONDS = 5


def main() -> None:
    """Requests are answered until there are no more."""
    seconds, memory = (int(argument) for argument in sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; the parent decides when it is time
    replies = _own_output()
    share_pools()
    decoders.register()
    geometry.use_one_thread()
    _limit_memory(memory)
    replies.write(READY)
    replies.flush()
    for line in sys.stdin.buffer:
        _limit_processor_time(seconds + _SPARE_SECONDS)
        request = json.loads(line)
        _answer(replies, Path(request["path"]), int(request["input_size"]))


def _own_output() -> BinaryIO:
    """The pipe to the parent; what a codec prints goes elsewhere."""
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(pipe, "wb")


def _limit_memory(allowed: int) -> None:
    """An allocation fails that would take the address space over what it is now by more than `allowed` bytes.

    Linux alone keeps to this; elsewhere the time limit and the size of the codestream bound what can happen.
    """
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 - Unix alone has it

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + allowed
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _limit_processor_time(seconds: int) -> None:
    """A process whose parent is gone ends by itself: the kernel stops it after that many seconds more of computing."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - Unix alone has it

        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, resource.RLIM_INFINITY))


def _answer(replies: BinaryIO, path: Path, input_size: int) -> None:
    try:
        film = open_film(path, input_size=input_size)
    except UndecodablePixels as error:
        _reply(replies, {"outcome": UNDECODABLE, "detail": str(error)})
    except LimitExceeded as error:
        _reply(replies, {"outcome": LIMIT, "detail": str(error)})
    else:
        _send(replies, film)


def _send(replies: BinaryIO, film: Film) -> None:
    model_input, display = film.model_input.pixels, film.display
    told = {"model_input": model_input.shape, "display": display.shape, "pixel_data_sha256": film.pixel_data_sha256}
    _reply(replies, {"outcome": FILM, **told}, model_input.tobytes(), display.tobytes())


def _reply(replies: BinaryIO, document: dict[str, object], *content: bytes) -> None:
    replies.write(json.dumps(document).encode() + b"\n")
    replies.writelines(content)
    replies.flush()


if __name__ == "__main__":
    main()
