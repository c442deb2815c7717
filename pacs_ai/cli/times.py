"""Times as people type them: local, without a zone."""

from datetime import datetime
from typing import Annotated

import typer

from pacs_ai.errors import WrongUsage

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"]
Time = Annotated[datetime | None, typer.Option(formats=FORMATS, help="Local time.")]


def instant(local: datetime | None) -> datetime | None:
    """The time with the zone of this machine; WrongUsage where that is out of every calendar."""
    try:
        return local.astimezone() if local else None
    except (ValueError, OverflowError) as error:  # which of them depends on the zone
        message = f"{local:%Y-%m-%d} is out of the calendar of this machine's time zone"
        raise WrongUsage(message) from error
