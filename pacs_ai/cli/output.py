"""What is printed: tables for people, plain text where stdout is no terminal, JSON lines for scripts."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
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
# Half of one of these is of no use: what is shown of a UID is what other commands take.
_WHOLE = {"", "id", "at", "received", "next or accepted", "accession", "study", "instance", "object"}
_LEAST_OF_LAST, _LEAST_OF_WORDS, _LONGEST_WORD, _INDENT = 20, 6, 20, 4
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
            sys.stdout.write("\t".join(plain(cell) for cell in row) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415 - scripts do not wait for it

    console = Console()
    console.print(table_of(columns, rows, width=console.width, title=title))


def table_of(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, width: int, title: str | None = None
) -> "RenderableType":
    """A table in that width: numbers, times and UIDs stand whole, words go on in the next line.

    What the last column says is below its row where too little of the width is left for it.
    """
    from rich.console import Group  # noqa: PLC0415 - scripts do not wait for it
    from rich.padding import Padding  # noqa: PLC0415

    cells = [[styled(cell) for cell in row] for row in rows]
    widest = [max([len(name), *(row[at].cell_len for row in cells)]) for at, name in enumerate(columns)]
    others = list(zip(columns, widest, strict=True))[:-1]
    taken = sum(length if name in _WHOLE else min(length, _LONGEST_WORD) for name, length in others) + len(others)
    if taken + min(widest[-1], _LEAST_OF_LAST) <= width:
        return _table(dict(zip(columns, _fitted(columns, widest, width), strict=True)), cells, title=title)
    fitted = dict(zip(columns, _fitted(columns[:-1], widest[:-1], width), strict=False))
    parts: list[RenderableType] = [_table(fitted, [], title=title)]
    for *row, last in cells:
        parts.append(_table(fitted, [row], with_heading=False))
        if last:
            parts.append(Padding(last, (0, 0, 0, _INDENT)))
    return Group(*parts)


def _fitted(columns: Sequence[str], widest: Sequence[int], width: int) -> list[int]:
    """The widths that the columns have: the widest of words give way until all fit, or are down to a short word."""
    fitted = list(widest)
    words = [at for at, name in enumerate(columns) if name not in _WHOLE]
    while words and sum(fitted) + len(fitted) - 1 > width:
        at = max(words, key=fitted.__getitem__)
        if fitted[at] <= _LEAST_OF_WORDS:
            break
        fitted[at] -= 1
    return fitted


def _table(
    widths: Mapping[str, int],
    cells: Iterable[Sequence["Text"]],
    *,
    title: str | None = None,
    with_heading: bool = True,
) -> "Table":
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - scripts do not wait for it
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=0)
    table.show_header = with_heading
    for name, width in widths.items():
        table.add_column(name, overflow="fold", width=width)
    for row in cells:
        table.add_row(*row)
    return table


def styled(cell: object) -> "Text":
    """A cell of a table as it stands, whatever brackets are in it."""
    from rich.text import Text  # noqa: PLC0415 - scripts do not wait for it

    words = plain(cell)
    return Text(words, style=_STYLES.get(words, ""))


def short(uid: str | None) -> str:
    """The end of a UID, enough to tell it apart on a terminal."""
    if uid is None:
        return ""
    return uid if len(uid) <= 14 or not sys.stdout.isatty() else f"…{uid[-12:]}"


def percent(probability: float | None) -> str:
    """A probability for people."""
    return "" if probability is None else f"{probability:.1%}"


def plain(cell: object) -> str:
    """Text without what a terminal obeys, or what ends a cell or a line: devices and nodes have written much of it."""
    return "" if cell is None else str(cell).translate(_CONTROL)
