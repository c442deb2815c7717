"""`pacs-ai-train`: the recipe of the embedded network, and the samples."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pacs_ai.errors import PacsAiError

from .errors import FilmError
from .operating_point import Rule
from .scores import Method

if TYPE_CHECKING:
    from .recipe import Recipe

app = typer.Typer(help="How the network of pacs-ai comes to be.", no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def fit(
    data: Annotated[Path, typer.Argument(help="The films, in the layout that the recipe names.")],
    out: Annotated[Path, typer.Option(help="Folder for the model file, its card, checkpoints and logs.")],
    config: Annotated[Path | None, typer.Option(help="Recipe (TOML); the embedded network's by default.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="ImageNet weights without top (Keras file); downloaded where left out.")
    ] = None,
    leave_out: Annotated[
        Path | None, typer.Option(help="Folder of films whose patients are left out (the shipped samples).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was begun at --out.")] = False,
) -> None:
    """Train, calibrate, choose the operating point and write model file and card."""
    _say_progress()
    from .run import fit as fit_network  # noqa: PLC0415 - TensorFlow takes seconds to import

    card = fit_network(data, weights, out, _recipe(config), left_out=leave_out, resume=resume)
    typer.echo(f"{card}: {json.dumps(json.loads(card.read_text())['metrics'])}")


@app.command()
def detector(
    model: Annotated[Path, typer.Argument(help="Folder of the model file and its card, which is rewritten.")],
    data: Annotated[Path, typer.Argument(help="The films that the network was made from, as for fit.")],
    others: Annotated[Path, typer.Argument(help="Frontal films of patients whom the network was not made for.")],
    leave_out: Annotated[Path | None, typer.Option(help="As for fit.")] = None,
    config: Annotated[Path | None, typer.Option(help="As for fit.")] = None,
) -> None:
    """Teach a trained network what it must refuse; its weights are not touched."""
    _say_progress()
    from .collection import gather  # noqa: PLC0415 - TensorFlow takes seconds to import
    from .refusals import teach_refusals  # noqa: PLC0415

    card = teach_refusals(model, gather(data, _recipe(config), leave_out)[0], others)
    typer.echo(f"{card}: {json.loads(card.read_text())['detector']}")


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder with NORMAL and PNEUMONIA, for example DATA/test.")],
    out: Annotated[Path, typer.Option(help="Folder for evaluation.html, evaluation.json and the plots.")],
    model: Annotated[str, typer.Option(help="Folder of a model and its card; the embedded one by default.")] = "",
) -> None:
    """Judge a network on labelled films: figures with intervals, subgroups, plots and its worst mistakes."""
    from .films import list_films  # noqa: PLC0415
    from .judging import write_evaluation  # noqa: PLC0415

    evaluation = write_evaluation(model, list_films(data), out, part=data.name)
    for name, figure in evaluation.figures.items():
        typer.echo(f"{name:<28}{figure.value:.3f}  ({figure.low:.3f} to {figure.high:.3f})")
    typer.echo(out / "evaluation.html")


@app.command()
def calibrate(  # noqa: PLR0913 - one parameter for each option
    log: Annotated[Path, typer.Argument(help="What `pacs-ai audit query --action read --limit N --json` printed.")],
    labels: Annotated[Path, typer.Option(help="CSV with sop_instance_uid and label (0 or 1, normal or pneumonia).")],
    out: Annotated[Path, typer.Option(help="Folder for the model with its new card.")],
    model: Annotated[str, typer.Option(help="Folder of a model and its card; the embedded one by default.")] = "",
    rule: Annotated[Rule, typer.Option(help="How the operating point is chosen.")] = Rule.SENSITIVITY,
    target: Annotated[float, typer.Option(min=0.5, max=1.0, help="The share that the rule asks for.")] = 0.95,
    method: Annotated[Method, typer.Option(help="How logits become probabilities.")] = Method.TEMPERATURE,
) -> None:
    """Fit calibration and operating point to a site's own films; the weights are not touched."""
    from .site import calibrate_for_site  # noqa: PLC0415

    card = calibrate_for_site(model, log, labels, out, rule=rule, target=target, method=method)
    typer.echo(f"{card}: {json.loads(card.read_text())['site']}")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help='Folder of a model and its card; "" is the embedded one.')],
    second: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    data: Annotated[Path, typer.Argument(help="Folder with NORMAL and PNEUMONIA.")],
) -> None:
    """Two networks on the same films: AUC difference (DeLong), calls (McNemar), and a verdict."""
    from pacs_ai.inference.card import read_card  # noqa: PLC0415

    from .comparison import compare as compare_judged  # noqa: PLC0415
    from .films import list_films  # noqa: PLC0415
    from .judging import judge  # noqa: PLC0415

    films = list_films(data)
    found = compare_judged(*(judge(read_card(model), films)[0] for model in (first, second)))
    typer.echo(f"AUC A {found.auc_a:.4f}, B {found.auc_b:.4f}; difference {found.auc_a - found.auc_b:+.4f}")
    typer.echo(f"95 % interval of the difference {found.low:+.4f} to {found.high:+.4f} (DeLong), p = {found.auc_p:.4f}")
    typer.echo(f"right at the operating point: only A {found.only_a_right}, only B {found.only_b_right} (McNemar)")
    typer.echo(found.verdict)


@app.command()
def explain(
    paths: Annotated[list[Path], typer.Argument(help="JPEG, PNG or DICOM files, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    model: Annotated[str, typer.Option(help="Folder of a model and its card; the embedded one by default.")] = "",
) -> None:
    """What a network says of films, and a picture of where it looked in each."""
    from .explaining import explain as explain_films  # noqa: PLC0415

    for found in explain_films(model, paths, out):
        said = found.reading.classification
        finding = "pneumonia" if said.is_positive else "normal"
        refused = f"  (the service refuses it: {found.reading.refusal.detail})" if found.reading.refusal else ""
        typer.echo(f"{found.film}: {finding}, probability {said.probability:.3f}, {found.picture}{refused}")


@app.command()
def card(
    model: Annotated[Path, typer.Argument(help="Folder of a model file and its card.")],
    seal: Annotated[
        bool, typer.Option("--seal", help="Take the card and the files as they are now, after a change on purpose.")
    ] = False,
) -> None:
    """A network's card in a few lines; or sealed anew over what was changed by hand, hashes of its files included."""
    from .card import in_words, reseal  # noqa: PLC0415

    if seal:
        reseal(model)
    for line in in_words(model):
        typer.echo(line)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Where the network goes: a .onnx file, or a folder for a SavedModel.")],
    model: Annotated[str, typer.Option(help="Folder of a model and its card; the embedded one by default.")] = "",
) -> None:
    """The network for other programs, in float32: ONNX with the card beside it, or a TensorFlow SavedModel."""
    from .elsewhere import export_elsewhere  # noqa: PLC0415 - TensorFlow takes seconds to import

    typer.echo(export_elsewhere(model, out))


@app.command()
def samples(
    originals: Annotated[Path, typer.Argument(help="Films named NORMAL_… and PNEUMONIA_….")],
    out: Annotated[Path, typer.Option(help="Folder for the DICOM files.")],
) -> None:
    """Wrap twelve films, drawn by lot, as instances of invented patients; and two headers that are refused."""
    from .samples import write_samples  # noqa: PLC0415 - the codecs take a while to import

    for path in write_samples(originals, out):
        typer.echo(path)


def _recipe(config: Path | None) -> "Recipe":
    from .recipe import Recipe, read_recipe  # noqa: PLC0415 - the numerical libraries take a while to import

    return read_recipe(config) if config else Recipe()


def _say_progress() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


def main() -> None:
    """Exit codes: 0 done, 1 something failed, and it says what; 2 wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it reports on missing GPUs otherwise
    try:
        app()
    except (FilmError, PacsAiError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
