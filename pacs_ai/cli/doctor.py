"""`doctor`: is everything as the service needs it?"""

import sys
from typing import TYPE_CHECKING

import typer

from pacs_ai.stores import now

from .options import ConfigOption, JsonOption, settings_of
from .output import print_json, print_table

if TYPE_CHECKING:
    from pacs_ai.doctor.check import Check


def add_to(app: typer.Typer) -> None:
    """The verb is part of the command."""
    app.command()(doctor)


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Ask nodes, port, database, disk, clock, codecs and network; one line each, with what to do.

    Exit code 0 when nothing failed, 4 when a node was not reached, else 1.
    """
    from pacs_ai.doctor.check import exit_code  # noqa: PLC0415 - imaging libraries take a second to import
    from pacs_ai.doctor.diagnosis import diagnose  # noqa: PLC0415

    settings = settings_of(config)
    checks: list[Check] = []
    for check in diagnose(settings, now):
        checks.append(check)
        if as_json:
            print_json([_line(check)])
    if not as_json:
        print_table(("check", "verdict", "found", "what to do"), [_row(check) for check in checks])
    code = exit_code(checks)
    if code:
        sys.stdout.flush()
        raise typer.Exit(code)


def _line(check: "Check") -> dict[str, object]:
    return {
        "check": check.name,
        "verdict": check.verdict,
        "detail": check.detail,
        "advice": check.advice or None,
    }


def _row(check: "Check") -> tuple[str, ...]:
    return check.name, check.verdict, check.detail, check.advice
