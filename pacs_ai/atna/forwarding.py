"""The audit log on its way to the repository: in order, nothing left out, with longer pauses while it is away."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from pacs_ai_storage.following import FollowedEvent, Follower

from pacs_ai.errors import PeerUnreachable

from .messages import AuditSource, audit_message
from .syslog import Repository, syslog_message

log = logging.getLogger(__name__)

_AT_ONCE = 200


@dataclass(slots=True, kw_only=True)
class Forwarder:
    """All that forwarding takes; `failures` counts the tries since the repository was last there."""

    follower: Follower
    repository: Repository
    source: AuditSource
    pause: Callable[[int], timedelta]
    failures: int = field(default=0)

    def forward(self) -> bool:
        """What comes next is with the repository; False when there is nothing more for now.

        Raises PeerUnreachable, with nothing counted as sent.
        """
        events = self.follower.next_events(_AT_ONCE)
        if not events:
            return False
        messages = [message for found in events if (message := self._message(found)) is not None]
        if messages:
            self.repository.take(messages)
        self.follower.has(events[-1])
        return len(events) == _AT_ONCE

    def try_once(self) -> timedelta:
        """As `forward`; how long to wait until the next time, longer after each failure."""
        try:
            is_more = self.forward()
        except PeerUnreachable as error:
            if not self.failures:
                log.warning("%s; the audit log keeps what it is to have", error)
            self.failures += 1
            return self.pause(self.failures - 1)
        if self.failures:
            log.info("the audit record repository is there again")
        self.failures = 0
        return timedelta(0) if is_more else timedelta(seconds=1)

    def _message(self, followed: FollowedEvent) -> bytes | None:
        content = audit_message(followed, self.source)
        if content is None:
            return None
        return syslog_message(content, followed.event.at, host=self.source.host, process=os.getpid())
