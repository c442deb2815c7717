"""The verbs of `pacs-ai`, and the one place where an error becomes a message and an exit code."""

import gc
import logging
import sys
from typing import Annotated

import typer
from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.occupancy import Occupied
from pacs_ai_storage.pairing import NotPaired
from pacs_ai_storage.versions import WrittenByNewerVersion

from pacs_ai import __version__
from pacs_ai.errors import PacsAiError

from . import checks, deliveries, doctor, files, log_proofs, log_queries, running, simulating, stdout, study_queries

app = typer.Typer(
    name="pacs-ai",
    help="A DICOM service that reads chest radiographs. Not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pacs-ai {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


running.add_to(app)
files.add_to(app)
study_queries.add_to(app)
deliveries.add_to(app)
log_proofs.add_to(log_queries.add_to(app))
checks.add_to(app)
doctor.add_to(app)
simulating.add_to(app)


def main() -> None:
    """Exit codes: 0 done, 1 something failed, 2 wrong usage or settings, 3 not found, 4 peer unreachable."""
    # What the imports made stays: the collector need not walk through it again while ten thousand rows are read.
    gc.freeze()
    stdout.make_ready()
    try:
        code = _run()
        sys.stdout.flush()
    except stdout.Unwritable as error:
        code = 1
        if said := stdout.let_go(error):
            typer.echo(said, err=True)
    sys.exit(code)


def _run() -> str | int | None:
    """The code to end with; each error has become a message, but for that of stdout itself."""
    try:
        app()
    except SystemExit as ended:
        return ended.code
    except PacsAiError as error:
        typer.echo(str(error), err=True)
        return error.exit_code
    except (WrittenByNewerVersion, NotPaired, Occupied) as error:
        typer.echo(str(error), err=True)
    except LedgerUnavailable as error:
        said = " ".join(str(error).split())  # a driver says it in several lines
        typer.echo(f"{said}; check audit.url and that its server runs, or the file in `data`", err=True)
    except stdout.Unwritable:
        raise
    except Exception:
        logging.getLogger("pacs_ai").exception("pacs-ai stopped because of a fault; please report the lines below")
    return 1
