"""Times as people type them: local, without a zone."""

from datetime import datetime
from typing import Annotated

import typer

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"]
Time = Annotated[datetime | None, typer.Option(formats=FORMATS, help="Local time.")]


def instant(local: datetime | None) -> datetime | None:
    """The time with the zone of this machine."""
    return local.astimezone() if local else None
