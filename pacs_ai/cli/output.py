"""What is printed: tables for people, plain text where stdout is no terminal, JSON lines for scripts."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {
    "positive": "bold red",
    "STAT": "bold red",
    "HIGH": "yellow",
    "negative": "green",
    "not_analysed": "magenta",
    "FAILED": "bold red",
    "failed": "bold red",
    "warning": "yellow",
    "ok": "green",
}
_CONTROL = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}")


def print_json(lines: Iterable[Mapping[str, object]]) -> None:
    """One object per line."""
    for line in lines:
        sys.stdout.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on a terminal, tab-separated lines with a heading elsewhere."""
    if not sys.stdout.isatty():
        if title:
            sys.stdout.write(f"# {title}\n")
        sys.stdout.write("\t".join(columns) + "\n")
        for row in rows:
            sys.stdout.write("\t".join(_plain(cell) for cell in row) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415 - scripts do not wait for it
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(styled, row))
    Console().print(table)


def styled(cell: object) -> "Text":
    """A cell of a table as it stands, whatever brackets are in it."""
    from rich.text import Text  # noqa: PLC0415 - scripts do not wait for it

    plain = _plain(cell)
    return Text(plain, style=_STYLES.get(plain, ""))


def short(uid: str | None) -> str:
    """The end of a UID, enough to tell it apart on a terminal."""
    if uid is None:
        return ""
    return uid if len(uid) <= 14 or not sys.stdout.isatty() else f"…{uid[-12:]}"


def percent(probability: float | None) -> str:
    """A probability for people."""
    return "" if probability is None else f"{probability:.1%}"


def _plain(cell: object) -> str:
    """Text without what a terminal obeys, or what ends a cell or a line: devices and nodes have written much of it."""
    return "" if cell is None else str(cell).translate(_CONTROL)
