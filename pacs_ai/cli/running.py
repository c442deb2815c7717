"""`serve` and `demo`."""

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacs_ai import __version__
from pacs_ai.allocator import share_pools

from .options import ConfigOption, JsonOption, VerboseOption, file_of, settings_of
from .output import percent, print_json, print_table

if TYPE_CHECKING:
    from pacs_ai.demonstration import Demonstration

log = logging.getLogger(__name__)

# DICOM and imaging libraries take a second to import: each verb imports what it needs, so that queries answer at once.


def add_to(app: typer.Typer) -> None:
    """The verbs are part of the command."""
    app.command()(serve)
    app.command()(demo)


def serve(config: ConfigOption = None, verbose: VerboseOption = False) -> None:
    """Receive, read and deliver until SIGTERM or Ctrl-C; what has begun is finished first."""
    from pacs_ai.service import Service  # noqa: PLC0415

    share_pools()
    settings = settings_of(config, verbose=verbose)
    service = Service(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.ask_to_stop())
    service.start()
    read_from = file_of(config) or "no settings file"
    log.info("pacs-ai %s has started: %s, data in %s", __version__, read_from, settings.data.resolve())
    try:
        service.wait()
    finally:
        service.stop()
    log.info("stopped")


def demo(  # noqa: PLR0913 - one parameter for each option
    once: Annotated[bool, typer.Option("--once", help="End after the table, also on a terminal.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder for instances and database; a new temporary one by default.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="DICOM port; 0 takes any free one.")] = 0,
    http_port: Annotated[
        int,
        typer.Option("--http-port", min=0, max=65535, help="Port of the pages, on a terminal; 0 takes any free one."),
    ] = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Push the sample radiographs through a running service into a stand-in PACS, and show what came back."""
    from pacs_ai.demonstration import Demonstration  # noqa: PLC0415

    settings = settings_of(config, verbose=verbose)
    stays = not once and sys.stdout.isatty()
    pages_on = http_port if stays else None
    with Demonstration(settings, data=data, port=port, http_port=pages_on) as demonstration:
        lines = demonstration.run()
        if as_json:
            print_json(lines)
        else:
            _print_demo(lines, demonstration)
        if stays:
            typer.echo(
                f"Still listening as {demonstration.ae_title} on port {demonstration.port}: push your own, "
                f"and look at {demonstration.address}. Ctrl-C ends it."
            )
            demonstration.wait_for_interrupt()
    if any(line["outcome"] is None for line in lines):
        raise typer.Exit(1)


def _print_demo(lines: list[dict[str, object]], demonstration: "Demonstration") -> None:
    print_table(
        ("radiograph", "outcome", "probability", "reason", "report", "capture", "seconds"),
        [
            (
                Path(str(line["path"])).name,
                line["outcome"],
                percent(line["probability"]),  # type: ignore[arg-type]
                line["reason"],
                _accepted(line, "report"),
                _accepted(line, "capture"),
                line["seconds"],
            )
            for line in lines
        ],
        title="Pushed by C-STORE, read, and accepted by the stand-in PACS",
    )
    read = sum(line["reason"] is None for line in lines)
    typer.echo(f"{read} read, {len(lines) - read} refused. Reports, captures and database: {demonstration.data}")
    typer.echo("Not a medical device: not for diagnosis.")


def _accepted(line: dict[str, object], kind: str) -> str:
    objects: list[dict[str, object]] = line["objects"]  # type: ignore[assignment]
    found = [item for item in objects if item["kind"] == kind]
    if not found:
        return "-"
    return "accepted" if all(item["accepted"] for item in found) else "NOT accepted"
