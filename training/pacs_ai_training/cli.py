"""`pacs-ai-train`: the recipe of the embedded network, and the samples."""

import logging
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="How the network of pacs-ai comes to be.", no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def fit(  # noqa: PLR0913 - one parameter for each option
    data: Annotated[Path, typer.Argument(help="Folder with train, val and test, each with NORMAL and PNEUMONIA.")],
    weights: Annotated[Path, typer.Option(help="ImageNet weights of VGG16 without top (Keras .h5).")],
    out: Annotated[Path, typer.Option(help="Folder for the model file, its card, checkpoints and logs.")],
    leave_out: Annotated[
        Path | None, typer.Option(help="Folder of films whose patients are left out (the shipped samples).")
    ] = None,
    name: str = "pneumonia-vgg16",
    version: str = "1.0.0",
    precision: Annotated[
        str, typer.Option(help="float32, or mixed_bfloat16 on processors that have it.")
    ] = "mixed_bfloat16",
) -> None:
    """Train, calibrate, choose the operating point and write model file and card."""
    from .fit import Recipe  # noqa: PLC0415 - TensorFlow takes seconds to import
    from .recipe import fit as fit_model  # noqa: PLC0415
    from .recipe import gather, ship  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = Recipe(mixed_precision=precision)
    films = gather(data, leave_out, recipe)
    model = fit_model(films, weights, out, recipe)
    card = ship(model, films, out, recipe, name=name, version=version)
    typer.echo(f"{card}: {card.read_text()}")


@app.command()
def samples(
    originals: Annotated[Path, typer.Argument(help="Films named NORMAL_… and PNEUMONIA_….")],
    out: Annotated[Path, typer.Option(help="Folder for the DICOM files.")],
) -> None:
    """Wrap twelve films, drawn by lot, as instances of invented patients; and two headers that are refused."""
    from .samples import write_samples  # noqa: PLC0415 - the codecs take a while to import

    for path in write_samples(originals, out):
        typer.echo(path)


def main() -> None:
    """The command."""
    app()
