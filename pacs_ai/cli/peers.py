"""Whom `send` and `echo` talk to: a host and its port, or a node of the settings, whichever way it is spoken to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pacs_ai.errors import NotFound, WrongUsage
from pacs_ai.settings import Node, NodeTls, Settings, WebNode

if TYPE_CHECKING:
    from pacs_ai.parcels import Parcel, SendOutcome

WELL = {"0x0000", "200", "204"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """The time limits of the options."""

    connect: float
    associate: float
    answer: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Titles:
    """The AE titles of the options."""

    calling: str
    called: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What can be asked of it; both raise PeerUnreachable."""

    address: str
    send: "Callable[[Sequence[Parcel]], Iterator[SendOutcome]]"
    echo: Callable[[], str]


def split_target(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The words that name the peer, HOST PORT or NODE, and those behind them."""
    count = 2 if words[1:] and words[1].isdecimal() else 1
    return words[:count], words[count:]


def peer_of(
    target: Sequence[str], settings: Settings, titles: Titles, seconds: Seconds, tls: Callable[[], NodeTls | None]
) -> Peer:
    """NotFound where the settings have no node of this name; WrongUsage for a host, port or title that is none."""
    if len(target) == 1:
        node = named_node(target[0], settings, "or give HOST PORT")
        return _by_web(node, seconds) if isinstance(node, WebNode) else _by_dimse(node, titles.calling, seconds)
    host, port = target
    if not 1 <= int(port) <= 65535:
        message = f"{port} is no port: 1 to 65535"
        raise WrongUsage(message)
    return _by_dimse(_unnamed(host, int(port), titles, tls()), titles.calling, seconds)


def _unnamed(host: str, port: int, titles: Titles, tls: NodeTls | None) -> Node:
    try:
        return Node(name="peer", ae_title=titles.called, host=host, port=port, tls=tls)
    except ValidationError as error:
        message = "; ".join(str(found["msg"]).removeprefix("Value error, ") for found in error.errors())
        raise WrongUsage(message) from error


def named_node(name: str, settings: Settings, otherwise: str) -> Node | WebNode:
    """The node of the settings; NotFound, with what else may be given, where there is none of this name."""
    found = next((node for node in settings.nodes if node.name == name), None)
    if found is None:
        known = ", ".join(node.name for node in settings.nodes) or "none"
        message = f"{name}: no node of the settings has this name (there: {known}); {otherwise}"
        raise NotFound(message)
    return found


def _by_dimse(node: Node, calling: str, seconds: Seconds) -> Peer:
    from pacs_ai.dimse.contexts import TimeLimits  # noqa: PLC0415 - DICOM libraries take a second to import
    from pacs_ai.dimse.sender import Sender  # noqa: PLC0415

    limits = TimeLimits(connect=seconds.connect, associate=seconds.associate, answer=seconds.answer)
    sender = Sender(calling, limits=limits)
    return Peer(address=node.address, send=partial(sender.send, node), echo=partial(sender.echo, node))


def _by_web(node: WebNode, seconds: Seconds) -> Peer:
    from pacs_ai.dicomweb.client import WebLimits  # noqa: PLC0415 - as above
    from pacs_ai.dicomweb.search import echo  # noqa: PLC0415
    from pacs_ai.dicomweb.sender import WebSender  # noqa: PLC0415

    limits = WebLimits(connect=seconds.connect, silence=seconds.answer, answer=seconds.answer)
    return Peer(address=node.address, send=partial(WebSender(limits).send, node), echo=partial(echo, node, limits))
