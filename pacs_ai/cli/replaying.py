"""`audit replay`: the readings of studies made again, and held against what was said then."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.readings import setup_changes, studies_read_since
from pacs_ai_storage.views import show_study

from pacs_ai.errors import NotFound
from pacs_ai.inference.card import read_card
from pacs_ai.naming import one_study
from pacs_ai.settings import Settings

from .options import ConfigOption, JsonOption, settings_of
from .output import print_json, print_table, short
from .stores import existing_database
from .times import instant, time_of

if TYPE_CHECKING:
    from pacs_ai.process import Reader
    from pacs_ai.replay import Difference, Replayed

_HASH_LENGTH = 64


def audit_replay(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[UID]...", help="Study Instance UIDs, ends of them, or accession numbers."),
    ] = None,
    all_since: Annotated[
        datetime | None,
        typer.Option("--all-since", parser=time_of, metavar="TIME", help="Every study read since then."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read studies again from the kept instances: the same within 1e-6, or what differs and since when."""
    if not names and all_since is None:
        message = "name studies, or give --all-since"
        raise typer.BadParameter(message)
    settings, since = settings_of(config), instant(all_since)
    with existing_database(settings) as database:
        studies = [one_study(database, name) for name in names or ()]
        if since is not None:
            with database.read() as connection:
                studies += studies_read_since(connection, since)
        found: list[Replayed] = []
        for replayed in _replay(settings, database, list(dict.fromkeys(studies))):
            found += replayed
            if as_json:
                print_json(map(_line, replayed))
    if not as_json:
        _print(found)
    if any(item.verdict != "same" for item in found):
        raise typer.Exit(1)


def _replay(settings: Settings, database: Database, studies: Sequence[str]) -> "Iterator[list[Replayed]]":
    from pacs_ai.replay import replay_study  # noqa: PLC0415 - imaging libraries take a second to import

    store = _instances(settings)
    with _reader(settings) as reader:
        for study in studies:
            with database.read() as connection:
                view = show_study(connection, study)
                changes = setup_changes(connection)
            assert view is not None
            if not view.readings:
                message = f"study {study} has not been read yet"
                raise NotFound(message)
            yield replay_study(view, reader, store, changes)


def _instances(settings: Settings) -> InstanceStore:
    folder = settings.data / "instances"
    if not folder.is_dir():
        message = f"no instances in {settings.data.resolve()}; name the settings file with -c"
        raise NotFound(message)
    return InstanceStore(folder)


@contextmanager
def _reader(settings: Settings) -> "Iterator[Reader]":
    from pacs_ai.reading import build_reader, film_opener, load_classifier  # noqa: PLC0415 - as above

    card = read_card(settings.model.path)
    with film_opener(settings) as films:
        yield build_reader(settings, card, load_classifier(settings, card), films)


def _line(item: "Replayed") -> dict[str, object]:
    return {
        "study_instance_uid": item.kept.study_instance_uid,
        "sop_instance_uid": item.kept.said.sop_instance_uid,
        "revision": item.kept.revision,
        "read_at": item.kept.read_at.isoformat(),
        "verdict": item.verdict,
        "outcome": {"then": item.kept.said.outcome, "now": item.now.outcome if item.now else None},
        "probability": {"then": item.kept.said.probability, "now": item.now.probability if item.now else None},
        "differences": [_difference(found) for found in item.differences],
        "software": [_difference(found) for found in item.software],
    }


def _difference(found: "Difference") -> dict[str, object]:
    return {
        "what": found.what,
        "then": found.then,
        "now": found.now,
        "since": found.since.isoformat() if found.since else None,
    }


def _print(found: "Sequence[Replayed]") -> None:
    print_table(
        ("study", "instance", "read", "verdict", "then", "now", "what differs"),
        [
            (
                short(item.kept.study_instance_uid),
                short(item.kept.said.sop_instance_uid),
                f"{item.kept.read_at.astimezone():%Y-%m-%d %H:%M:%S}",
                item.verdict,
                _figure(item.kept.said.probability),
                _figure(item.now.probability if item.now else None),
                "; ".join(map(_words, (*item.differences, *item.software))),
            )
            for item in found
        ],
    )
    counts = Counter(str(item.verdict) for item in found)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("same", "differs", "not kept"))
    typer.echo(f"{len(found)} instances: {summary}")


def _figure(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.6f}"


def _words(found: "Difference") -> str:
    from pacs_ai.replay import INSTANCE  # noqa: PLC0415 - as above

    if found.what == INSTANCE:
        since = f" since {found.since.astimezone():%Y-%m-%d %H:%M:%S}" if found.since else ""
        return f"the kept instance is {found.now}{since}"
    since = f"since {found.since.astimezone():%Y-%m-%d %H:%M:%S}" if found.since else "not in the log"
    return f"{found.what} {_brief(found.then)} -> {_brief(found.now)} ({since})"


def _brief(value: object) -> object:
    """Enough of a hash to tell it from another."""
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == _HASH_LENGTH else value
