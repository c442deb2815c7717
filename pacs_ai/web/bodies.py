"""How much somebody may send: what is asked and chosen here are some lines, whoever asks."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BYTES = 64 << 10


class Bounded:
    """An ASGI layer under which no body goes beyond 64 KiB, so that none fills the memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of the application; whoever reads more gets an HTTPException, answered with 413."""
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > _MOST_BYTES:
                raise HTTPException(413, f"a request has at most {_MOST_BYTES >> 10} KiB")
            return message

        await self._app(scope, receive_bounded, send)
