"""Rows as Apache Parquet with typed columns; the only module that knows pyarrow, which is an extra."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import BinaryIO

from pacs_ai.errors import PacsAiError

_AT_ONCE = 10_000


def write_parquet(lines: Iterable[Mapping[str, object]], columns: Sequence[str], out: BinaryIO) -> None:
    """The rows are in `out` with these columns, in groups, so that no more than one of them is in memory.

    `at` is a timestamp in microseconds UTC, `id` and `instances` are 64-bit integers, `probability` is a double, all
    else text. Raises PacsAiError without pyarrow.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra, and nothing else waits for it
        from pyarrow.parquet import ParquetWriter  # noqa: PLC0415
    except ImportError as error:
        message = 'Parquet needs pyarrow: pip install "pacs-ai[parquet]"; --format csv works without it'
        raise PacsAiError(message) from error
    kinds = {"at": pa.timestamp("us", tz="UTC"), "id": pa.int64(), "instances": pa.int64(), "probability": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in columns])
    rest = iter(lines)
    with ParquetWriter(out, schema) as writer:
        while some := [_row(line, columns) for line in islice(rest, _AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(some, schema))


def _row(line: Mapping[str, object], columns: Sequence[str]) -> dict[str, object]:
    row = {name: line[name] for name in columns}
    if "at" in row:
        row["at"] = datetime.fromisoformat(str(row["at"]))
    return row
