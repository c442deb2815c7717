"""Options that several verbs share, and the settings they lead to."""

from pathlib import Path
from typing import Annotated

import typer

from pacs_ai.logs import set_up_logging
from pacs_ai.settings import Settings
from pacs_ai.settings_file import load_settings

ConfigOption = Annotated[Path | None, typer.Option("-c", "--config", help="Settings file (TOML).", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="More log lines on stderr.")]

# More than any log has, and no more than a database can count.
MOST_ROWS = 1_000_000_000


def settings_of(config: Path | None, *, verbose: bool = False) -> Settings:
    """Logging is set up and the settings are read; without -c, `pacs-ai.toml` of this folder when there is one."""
    set_up_logging(verbose=verbose)
    return load_settings(file_of(config))


def file_of(config: Path | None) -> Path | None:
    """The file that the settings are read from, if from any."""
    default = Path("pacs-ai.toml")
    return config or (default if default.is_file() else None)
