"""How bytes come off the connection: in large pieces, because each piece costs a turn at the interpreter's lock."""

from typing import cast

from pynetdicom import evt
from pynetdicom.transport import AssociationSocket

_PIECE = 1 << 18


class _LargeReads(AssociationSocket):
    """pynetdicom reads 4096 bytes at a time, 2500 turns for a radiograph; while others compute, each turn waits."""

    def recv(self, nr_bytes: int) -> bytearray:
        """`nr_bytes`, fewer only when the peer has gone; what a PDU announces is not allocated before it comes."""
        assert self.socket is not None
        received = bytearray()
        while len(received) < nr_bytes:
            piece = self.socket.recv(min(nr_bytes - len(received), _PIECE))
            if not piece:
                break
            received += piece
        return received


def read_in_large_pieces(event: evt.Event) -> None:
    """EVT_CONN_OPEN: the connection, still unread, reads so from now on."""
    # pynetdicom builds the socket itself and leaves no place to name another class.
    connection = cast("AssociationSocket", event.assoc.dul.socket)
    connection.__class__ = _LargeReads
