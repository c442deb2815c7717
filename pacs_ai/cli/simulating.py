"""`simulate`: traffic that is invented, for a running service, and what came back of it."""

import secrets
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from pacs_ai.errors import PeerUnreachable, WrongUsage
from pacs_ai.settings import Node, Settings

from .amounts import peer_of, per_second_of, seconds_of, size_of, title_of
from .options import ConfigOption, JsonOption, VerboseOption, settings_of
from .output import print_json, print_table
from .peers import named_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pacs_ai.dimse.archive import Behaviour, StandInArchive
    from pacs_ai.simulation.arrivals import Arrivals
    from pacs_ai.simulation.trial import Standing
    from pacs_ai.simulation.verdict import Latencies, Verdict

_STUDIES = 20
_ACCEPT = "accept"


def add_to(app: typer.Typer) -> None:
    """The verb is part of the command."""
    app.command()(simulate)


def simulate(  # noqa: PLR0913 - one parameter for each option
    to: Annotated[
        str,
        typer.Option("--to", metavar="AE@HOST:PORT|NODE", help="The running service; a node of the settings for TLS."),
    ],
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="N/h", help="Studies at a steady rate: 400/h, 10/m, 2/s."),
    ] = None,
    burst: Annotated[int | None, typer.Option("--burst", min=1, help="So many studies at the same moment.")] = None,
    studies: Annotated[int | None, typer.Option("--studies", min=1, help="How many studies in all.")] = None,
    instances: Annotated[int, typer.Option("--instances-per-study", min=1, max=1000)] = 1,
    associations: Annotated[int, typer.Option("--associations", min=1, max=64, help="At a time.")] = 4,
    duration: Annotated[str | None, typer.Option("--duration", metavar="5m", help="Studies come for so long.")] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="ROWSxCOLUMNS", help="Uncompressed images of this size, 12 bits in 16."),
    ] = None,
    refused_share: Annotated[
        float, typer.Option("--refused-share", min=0, max=1, help="How many in one are views that are not read.")
    ] = 0.0,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same studies at the same moments; drawn when not given.")
    ] = None,
    tries: Annotated[
        int, typer.Option("--tries", min=1, help="How often an instance without an answer, or with 0xA700, is sent.")
    ] = 1,
    archive: Annotated[
        int | None, typer.Option("--archive", min=1, max=65535, metavar="PORT", help="Stand in for the PACS here.")
    ] = None,
    archive_host: Annotated[str, typer.Option("--archive-host", help="Address on which it listens.")] = "127.0.0.1",
    archive_title: Annotated[str, typer.Option("--archive-title", help="Its AE title.")] = "ARCHIVE",
    archive_behaviour: Annotated[
        list[str] | None,
        typer.Option(
            "--archive-behaviour",
            metavar="accept|refuse|busy|stall|abort|forget|away",
            help="What it does with a result; given again, what it does when the result is sent again.",
        ),
    ] = None,
    archive_share: Annotated[
        float, typer.Option("--archive-share", min=0, max=1, help="How many results in one meet that.")
    ] = 1.0,
    stall_for: Annotated[
        str, typer.Option("--stall-for", metavar="10s|never", help="How late a stalled answer comes.")
    ] = "10s",
    away_for: Annotated[
        str | None,
        typer.Option("--away-for", metavar="1m", help="It is away for so long at first."),
    ] = None,
    wait: Annotated[str, typer.Option("--wait", metavar="2m", help="Longest wait for results after the push.")] = "2m",
    late: Annotated[str, typer.Option("--late", metavar="1m", help="A report after this time is late.")] = "1m",
    aet: Annotated[str, typer.Option("-aet", "--aetitle", help="Our AE title as modality.")] = "SIMULATE",
    config: ConfigOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Push invented studies to a running service, stand in for its PACS, and judge what came back.

    Exit code 1 when an instance that was answered with success has no report, or a result came twice.
    """
    coming = _arrivals(rate, burst, studies, duration)
    if archive is None and (archive_behaviour or away_for is not None):
        message = "--archive-behaviour and --away-for need --archive PORT: where to stand in for the PACS"
        raise WrongUsage(message)
    node = _service(to, settings_of(config, verbose=verbose))
    from pacs_ai.simulation.films import StudyShape  # noqa: PLC0415 - imaging libraries take a second to import
    from pacs_ai.simulation.trial import Trial, TrialTerms  # noqa: PLC0415

    drawn = secrets.randbelow(1 << 31) if seed is None else seed
    terms = TrialTerms(
        node=node,
        calling_ae_title=title_of(aet),
        arrivals=coming,
        shape=StudyShape(
            instances=instances, size=None if size is None else size_of(size), refused_share=refused_share
        ),
        seed=drawn,
        associations=associations,
        tries=tries,
        wait_seconds=seconds_of(wait),
        late_seconds=seconds_of(late),
    )
    stand_in = None
    if archive is not None:
        troubles = archive_behaviour or []
        behaviour = _behaviour(troubles, share=archive_share, seed=drawn, stall_for=stall_for, away_for=away_for)
        stand_in = _stand_in(title_of(archive_title), behaviour)
    with _progress() as watch:
        verdict = Trial(terms=terms, archive=stand_in, archive_address=(archive_host, archive or 0)).run(watch)
    if as_json:
        print_json([verdict.document()])
    else:
        _print(verdict)
    _end(verdict)


def _service(to: str, settings: Settings) -> Node:
    if "@" in to or ":" in to:
        return peer_of(to)
    node = named_node(to, settings, "or give AE@HOST:PORT")
    if not isinstance(node, Node):
        message = f"--to {to}: this node is spoken to by web, and the service takes studies by C-STORE"
        raise WrongUsage(message)
    return node


def _arrivals(rate: str | None, burst: int | None, studies: int | None, duration: str | None) -> "Arrivals":
    from pacs_ai.simulation.arrivals import Arrivals  # noqa: PLC0415 - as above

    if rate is not None and burst is not None:
        message = "--rate and --burst exclude each other"
        raise WrongUsage(message)
    if studies is None and burst is None and (rate is None or duration is None):
        studies = _STUDIES
    if rate is None and burst is None:
        rate = "1/s"
    return Arrivals(
        per_second=None if rate is None else per_second_of(rate),
        burst=burst,
        studies=studies,
        seconds=None if duration is None else seconds_of(duration),
    )


def _behaviour(troubles: list[str], *, share: float, seed: int, stall_for: str, away_for: str | None) -> "Behaviour":
    from pacs_ai.dimse.archive import Behaviour, Trouble  # noqa: PLC0415 - as above

    known = [_ACCEPT, *Trouble]
    if unknown := [name for name in troubles if name not in known]:
        message = f"--archive-behaviour {unknown[0]}: one of {', '.join(known)}"
        raise WrongUsage(message)
    met = tuple(Trouble(name) for name in troubles if name != _ACCEPT)
    if away_for is not None and Trouble.AWAY not in met:
        met += (Trouble.AWAY,)
    return Behaviour(
        troubles=met,
        share=share,
        seed=seed,
        stall_seconds=None if stall_for == "never" else seconds_of(stall_for),
        away_seconds=seconds_of(away_for or "1m"),
    )


def _stand_in(ae_title: str, behaviour: "Behaviour") -> "StandInArchive":
    from pacs_ai.dimse.archive import StandInArchive  # noqa: PLC0415 - as above

    return StandInArchive(ae_title=ae_title, behaviour=behaviour)


@contextmanager
def _progress() -> "Iterator[Callable[[Standing], None]]":
    """Two bars on a terminal, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - scripts do not wait for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        pushed, reported = progress.add_task("pushed", total=None), progress.add_task("in a report", total=None)

        def watch(standing: "Standing") -> None:
            progress.update(pushed, total=standing.expected, completed=standing.pushed)
            progress.update(reported, total=standing.expected, completed=standing.pushed - standing.waiting)

        yield watch


def _print(verdict: "Verdict") -> None:
    rows: list[tuple[str, object]] = [
        ("seed", verdict.seed),
        ("studies", verdict.studies),
        ("instances sent", verdict.sent),
        ("answered with success", verdict.accepted),
        ("refused", _by_status(verdict.refused)),
        ("not answered", verdict.unanswered),
        *([("because", "; ".join(verdict.why_unanswered))] if verdict.unanswered else []),
        ("seconds to an answer", _figures(verdict.answers)),
    ]
    if verdict.results is not None and verdict.lost is not None and verdict.doubled is not None:
        rows += [
            ("reports that came", verdict.reports),
            ("captures that came", verdict.captures),
            ("turned away by the stand-in PACS", _by_status(verdict.turned_away or {})),
            ("sent again after success", verdict.sent_again),
            ("late", verdict.late),
            ("seconds to a report", _figures(verdict.results)),
            ("lost", len(verdict.lost)),
            ("doubled", len(verdict.doubled)),
        ]
    print_table(("what", "how many"), rows, title="What was pushed, and what came back")
    for kind, uids in (("lost", verdict.lost), ("doubled", verdict.doubled)):
        for uid in (uids or ())[:10]:
            typer.echo(f"{kind}: {uid}", err=True)


def _by_status(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} with {status}" for status, count in sorted(counts.items())) or "0"


def _figures(found: "Latencies") -> str:
    if found.median is None:
        return "-"
    return f"median {found.median:.3f}, 95 % {found.p95:.3f}, longest {found.longest:.3f}"


def _end(verdict: "Verdict") -> None:
    if verdict.sent and verdict.unanswered == verdict.sent:
        raise PeerUnreachable("; ".join(verdict.why_unanswered))
    if not verdict.holds:
        raise typer.Exit(1)
