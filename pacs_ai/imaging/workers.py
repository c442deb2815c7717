"""Decoder processes: films are opened in them, and one that hangs, crashes or eats memory costs one instance."""

import json
import logging
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from os import environ
from pathlib import Path
from queue import LifoQueue
from typing import Self

import numpy as np

from pacs_ai.errors import DecoderUnavailable, LimitExceeded, UndecodablePixels
from pacs_ai.findings import ModelInput

from .film import DISPLAY_SIDE, Film
from .worker import FILM, LIMIT, READY

log = logging.getLogger(__name__)

_START_SECONDS = 60.0
_MOST_LINE = 4096
_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderLimits:
    """What one instance may take: seconds from request to answer, and bytes over what an idle process has."""

    seconds: int = 20
    memory_bytes: int = 2 << 30


class _Gone(Exception):
    """The process ended, or was ended, before it had answered."""

    def __init__(self, *, was_late: bool) -> None:
        super().__init__()
        self.was_late = was_late


class _Process:
    """One decoder process; it answers one request at a time."""

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits
        arguments = [str(limits.seconds), str(limits.memory_bytes)]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "pacs_ai.imaging.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout

    def wait_until_ready(self) -> None:
        """It answers requests; raises DecoderUnavailable."""
        with self._no_longer_than(_START_SECONDS):
            said = self._replies.readline(_MOST_LINE)
        if said != READY:
            self.end()
            message = f"a decoder process did not start (exit code {self._process.returncode})"
            raise DecoderUnavailable(message)

    def open(self, path: Path, input_size: int) -> Film:
        """The film; raises UndecodablePixels and LimitExceeded as the process says, _Gone when it says nothing."""
        request = json.dumps({"path": str(path.absolute()), "input_size": input_size})
        with self._no_longer_than(self._limits.seconds) as watch, suppress(BrokenPipeError):
            self._requests.write(request.encode() + b"\n")
            self._requests.flush()
            said = self._replies.readline(_MOST_LINE)
            film = self._understand(said, input_size) if said.endswith(b"\n") else None
            if film is not None:
                return film
        raise _Gone(was_late=watch.has_bitten)

    def _understand(self, said: bytes, input_size: int) -> Film | None:
        document = json.loads(said)
        if document["outcome"] != FILM:
            raise (LimitExceeded if document["outcome"] == LIMIT else UndecodablePixels)(document["detail"])
        rows, columns = document["display"]
        if not (0 < rows <= DISPLAY_SIDE and 0 < columns <= DISPLAY_SIDE):
            return None
        pixels = self._replies.read(input_size * input_size * 4)
        display = self._replies.read(rows * columns)
        if len(display) != rows * columns:
            return None
        return Film(
            model_input=ModelInput(pixels=np.frombuffer(pixels, np.float32).reshape(input_size, input_size, 1)),
            display=np.frombuffer(display, np.uint8).reshape(rows, columns),
            pixel_data_sha256=str(document["pixel_data_sha256"]),
        )

    def _no_longer_than(self, seconds: float) -> "_Watch":
        return _Watch(self._process, seconds)

    def end(self) -> int:
        """It has ended; returns its exit code."""
        self._process.kill()
        for pipe in (self._requests, self._replies):
            with suppress(OSError):
                pipe.close()
        return self._process.wait()


class _Watch:
    """Kills the process when the block takes too long, which ends whatever the block is waiting for."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.has_bitten = False
        self._process = process
        self._timer = threading.Timer(seconds, self._bite)

    def _bite(self) -> None:
        self.has_bitten = True
        self._process.kill()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()


class DecoderWorkers:
    """At most `count` decoder processes, started when they are needed and kept for the next film."""

    def __init__(self, limits: DecoderLimits, *, count: int) -> None:
        self._limits = limits
        self._count = count
        self._places: LifoQueue[_Process | None] = LifoQueue()
        for _ in range(count):
            self._places.put(None)

    def open(self, path: Path, *, input_size: int) -> Film:
        """The film of a file; waits for a free process.

        A process that is gone without having been late may have been ended by somebody else, so that a second one is
        asked. Raises UndecodablePixels, LimitExceeded, and DecoderUnavailable when no process can be started.
        """
        for _ in range(_TRIES):
            process = self._places.get()
            try:
                process = process or self._start()
                return process.open(path, input_size)
            except _Gone as gone:
                assert process is not None
                code, process = process.end(), None
                log.warning("a decoder process was lost (exit code %d)", code)
                if gone.was_late:
                    message = f"Decoding took longer than {self._limits.seconds} s (ingest.decoder_seconds)."
                    raise LimitExceeded(message) from gone
            finally:
                self._places.put(process)
        message = "The decoder crashed on the pixel data."
        raise UndecodablePixels(message)

    def start_one(self) -> None:
        """One process is ready, so that the first film does not wait for it."""
        process = self._places.get()
        try:
            process = process or self._start()
        finally:
            self._places.put(process)

    def close(self) -> None:
        """Every process has ended; films that are being opened are waited for."""
        for _ in range(self._count):
            process = self._places.get()
            if process is not None:
                process.end()
        for _ in range(self._count):
            self._places.put(None)

    def _start(self) -> _Process:
        try:
            process = _Process(self._limits)
        except OSError as error:
            message = f"a decoder process cannot be started ({error.strerror})"
            raise DecoderUnavailable(message) from error
        process.wait_until_ready()
        return process
