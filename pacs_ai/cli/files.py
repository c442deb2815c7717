"""`process`, `send`, `echo`: files in, objects or statuses out."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacs_ai.errors import DefectiveReport, NotDicom, NotFound, PacsAiError, WrongUsage
from pacs_ai.inference.card import read_card
from pacs_ai.settings import NodeTls, Settings

from .amounts import title_of
from .options import ConfigOption, JsonOption, VerboseOption, settings_of
from .output import percent, print_json, print_table
from .peers import WELL, Seconds, Titles, peer_of, split_target

if TYPE_CHECKING:
    from pacs_ai.folder import FolderLine
    from pacs_ai.parcels import Parcel

_ANY_SIZE = 1 << 40
_ANY_SCP = "ANY-SCP"
ConnectOption = Annotated[float, typer.Option("-to", "--timeout", help="Seconds to connect.", min=0.1)]
AssociateOption = Annotated[float, typer.Option("-ta", "--acse-timeout", help="Seconds to associate.", min=0.1)]
AnswerOption = Annotated[float, typer.Option("-td", "--dimse-timeout", help="Seconds for an answer.", min=0.1)]
CallingOption = Annotated[str, typer.Option("-aet", "--aetitle", help="Our AE title.")]
CalledOption = Annotated[str | None, typer.Option("-aec", "--call", help="The peer's AE title.", show_default=_ANY_SCP)]
TlsOption = Annotated[
    tuple[str, str] | None, typer.Option("+tls", metavar="KEY CERT", help="TLS with this key and certificate (PEM).")
]
TrustedOption = Annotated[
    str | None, typer.Option("+cf", metavar="CA", help="TLS, and the peer's certificate is checked against this (PEM).")
]


def add_to(app: typer.Typer) -> None:
    """The verbs are part of the command."""
    app.command()(process)
    app.command()(send)
    app.command()(echo)


def process(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files or folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the result objects.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hold every report to the profile.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Read files or folders and write reports and captures to a folder; no network, no database."""
    from pacs_ai.folder import process_folder  # noqa: PLC0415 - imaging libraries take a second to import
    from pacs_ai.reading import build_reader, film_opener, load_classifier  # noqa: PLC0415

    settings = settings_of(config, verbose=verbose)
    files = list(_files(paths))
    _make_folder(out)
    card = read_card(settings.model.path)
    lines = []
    with film_opener(settings) as films:
        reader = build_reader(settings, card, load_classifier(settings, card), films)
        for line in process_folder(files, reader, out):
            lines.append(line)
            if as_json:
                print_json([line.document])
    if not as_json:
        _print_lines(lines)
    if verify:
        _verify(lines)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{out}: no folder to write results to ({error.strerror})"
        raise PacsAiError(message) from error


def _verify(lines: list["FolderLine"]) -> None:
    from pacs_ai.results.verification import check_file  # noqa: PLC0415 - as above

    objects = [item for line in lines for item in line.document["objects"]]  # type: ignore[attr-defined]
    reports = sorted({str(item["path"]) for item in objects if item["kind"] == "report"})
    defects = [f"{path}: {defect}" for path in reports for defect in check_file(path)]
    if defects:
        raise DefectiveReport("\n".join(defects))
    typer.echo(f"{len(reports)} reports as the profile has them", err=True)


def _print_lines(lines: list["FolderLine"]) -> None:
    print_table(
        ("file", "outcome", "probability", "reason", "detail"),
        [
            (
                line.document["path"],
                line.document["outcome"],
                percent(line.document["probability"]),  # type: ignore[arg-type]
                line.document["reason"],
                line.document["detail"],
            )
            for line in lines
        ],
    )


def send(  # noqa: PLR0913 - one parameter for each option
    words: Annotated[list[str], typer.Argument(metavar="HOST PORT PATH... | NODE PATH...")],
    aet: CallingOption = "",
    aec: CalledOption = None,
    to: ConnectOption = 5,
    ta: AssociateOption = 5,
    td: AnswerOption = 300,
    tls: TlsOption = None,
    cf: TrustedOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Send files or folders by C-STORE, or to a DICOMweb node by STOW-RS; one line for each that was not accepted."""
    from rich.progress import track  # noqa: PLC0415

    target, paths = split_target(words)
    if not paths:
        message = "name the files or folders to send: HOST PORT PATH..., or NODE PATH..."
        raise WrongUsage(message)
    _must_suit(target, {"-aec": aec, "+tls": tls, "+cf": cf})
    settings = settings_of(config, verbose=verbose)
    seconds = Seconds(connect=to, associate=ta, answer=td)
    peer = peer_of(target, settings, _titles(aet, aec, target, settings), seconds, lambda: _tls(tls, cf))
    parcels, unfit = _parcels(_files([Path(path) for path in paths]))
    for line in unfit:
        typer.echo(line, err=True)
    if not parcels:
        message = f"nothing to send: no DICOM file in {', '.join(paths)}"
        raise NotFound(message)
    is_quiet = not sys.stderr.isatty()
    outcomes = track(peer.send(parcels), total=len(parcels), description="sending", disable=is_quiet, console=None)
    refused = [outcome for outcome in outcomes if not outcome.is_accepted]
    for outcome in refused:
        typer.echo(f"{outcome.parcel.path}: {outcome.detail}", err=True)
    typer.echo(f"{len(parcels) - len(refused)} of {len(parcels) + len(unfit)} accepted")
    if refused or unfit:
        raise typer.Exit(1)


def echo(  # noqa: PLR0913 - one parameter for each option
    words: Annotated[list[str], typer.Argument(metavar="HOST PORT | NODE")],
    aet: CallingOption = "",
    aec: CalledOption = None,
    to: ConnectOption = 5,
    ta: AssociateOption = 5,
    td: AnswerOption = 300,
    tls: TlsOption = None,
    cf: TrustedOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask a peer with C-ECHO, or a DICOMweb node with QIDO-RS, whether it is there."""
    target, rest = split_target(words)
    if rest:
        message = "one peer is asked: HOST PORT, or NODE"
        raise WrongUsage(message)
    _must_suit(target, {"-aec": aec, "+tls": tls, "+cf": cf})
    settings = settings_of(config)
    seconds = Seconds(connect=to, associate=ta, answer=td)
    peer = peer_of(target, settings, _titles(aet, aec, target, settings), seconds, lambda: _tls(tls, cf))
    status = peer.echo()
    typer.echo(f"{peer.address} answered {status}")
    if status not in WELL:
        raise typer.Exit(1)


def _must_suit(target: Sequence[str], options: Mapping[str, object]) -> None:
    """A node of the settings says itself how it is called, and whether by TLS; WrongUsage where an option does too."""
    given = [name for name, value in options.items() if value is not None]
    if len(target) == 1 and given:
        message = f"{target[0]} is a node of the settings, which say it: leave out {' and '.join(given)}"
        raise WrongUsage(message)


def _titles(calling: str, called: str | None, target: Sequence[str], settings: Settings) -> Titles:
    """A node of the settings is called as the service calls it, unless an option says otherwise."""
    ours = settings.dicom.ae_title if len(target) == 1 else "PACS_AI_SCU"
    return Titles(calling=title_of(calling or ours), called=_ANY_SCP if called is None else called)


def _tls(own: tuple[str, str] | None, ca: str | None) -> NodeTls | None:
    """TLS where an option asks for it; without CA the authorities of the operating system are trusted."""
    if own is None and ca is None:
        return None
    if ca == "" or (own is not None and "" in own):
        message = "+tls or +cf: empty; name the files, or leave it out"
        raise WrongUsage(message)
    from pacs_ai.tls import client_context  # noqa: PLC0415 - as above

    key, certificate = own or ("", "")
    tls = NodeTls(ca=ca or "", certificate=certificate, key=key)
    client_context(tls, "+tls, +cf")
    return tls


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            is_folder, is_file = path.is_dir(), path.is_file()
        except OSError as error:
            message = f"{path}: cannot be asked for ({error.strerror})"
            raise NotFound(message) from error
        if is_folder:
            yield from sorted(found for found in path.rglob("*") if found.is_file())
        elif is_file:
            yield path
        else:
            message = f"{path}: no such file or folder"
            raise NotFound(message)


def _parcels(paths: Iterable[Path]) -> tuple[list["Parcel"], list[str]]:
    """What can be sent, and a line for each file that cannot."""
    parcels, unfit = [], []
    for path in paths:
        try:
            parcels.append(_parcel(path))
        except NotDicom as error:
            unfit.append(f"{path}: {error}")
        except OSError as error:
            unfit.append(f"{path}: cannot be read ({error.strerror})")
    return parcels, unfit


def _parcel(path: Path) -> "Parcel":
    from pacs_ai.imaging.decoders import transfer_syntax  # noqa: PLC0415
    from pacs_ai.imaging.film import read_header  # noqa: PLC0415
    from pacs_ai.parcels import Parcel  # noqa: PLC0415

    header = read_header(path, max_bytes=_ANY_SIZE)
    syntax = transfer_syntax(header)
    return Parcel(
        path=path,
        sop_class_uid=str(header.SOPClassUID),
        sop_instance_uid=str(header.SOPInstanceUID),
        transfer_syntax_uid=syntax,
        study_instance_uid=str(header.StudyInstanceUID),
    )
