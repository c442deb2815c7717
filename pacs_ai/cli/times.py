"""Times as people type them and as our own JSON and CSV have them: ISO 8601, local where no zone is given."""

from datetime import datetime
from typing import Annotated

import typer

from pacs_ai.errors import WrongUsage


def time_of(words: str) -> datetime:
    """The time as it was typed, with a zone or without."""
    try:
        return datetime.fromisoformat(words.strip())
    except ValueError as error:
        message = f"{words!r} is no time such as 2026-01-31, '2026-01-31 10:30' or 2026-01-31T10:30:00+00:00"
        raise typer.BadParameter(message) from error


Time = Annotated[
    datetime | None, typer.Option(parser=time_of, metavar="TIME", help="ISO 8601; local where it names no zone.")
]


def instant(at: datetime | None) -> datetime | None:
    """The time with its zone, or that of this machine; WrongUsage where that is out of every calendar."""
    try:
        return at.astimezone() if at else None
    except (ValueError, OverflowError) as error:  # which of them depends on the zone
        message = f"{at:%Y-%m-%d} is out of the calendar of this machine's time zone"
        raise WrongUsage(message) from error
