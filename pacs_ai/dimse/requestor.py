"""The association that we have asked for: a report that comes on it does not keep its release waiting for ever."""

import threading

from pynetdicom.association import Association


class Requestor(Association):
    """Only its own thread says that it is at work.

    `release` and each request wait until the thread of the association has paused. pynetdicom serves an
    N-EVENT-REPORT in another thread, which at its end takes the pause back; the association's own thread, already
    paused, would not say so again, and whoever waits for it would wait for ever.
    """

    @property
    def _is_paused(self) -> bool:
        return bool(self.__dict__["_is_paused"])

    @_is_paused.setter
    def _is_paused(self, value: bool) -> None:
        if value or threading.current_thread() is self:
            self.__dict__["_is_paused"] = value


def as_requestor(association: Association) -> None:
    """The association is such a one; pynetdicom builds it itself and leaves no place to name another class."""
    association.__class__ = Requestor
