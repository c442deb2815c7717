"""The figures of an evaluation as pictures: each as SVG and PNG, readable in grey and by the colour-blind."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from .evaluation import BINS, Judged
from .fit import Epoch

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#777777"  # Wong, Nature Methods 8, 441 (2011)


def write_history(log: Sequence[Epoch], folder: Path) -> Path:
    """The SVG of loss and AUC by epoch, stage after stage; a PNG of the same name lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(9.2, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(log) + 1)
    for axes, name in ((left, "loss"), (right, "auc")):
        axes.plot(epochs, [getattr(epoch, name) for epoch in log], "o-", color=_BLUE, label="training (augmented)")
        axes.plot(epochs, [getattr(epoch, f"val_{name}") for epoch in log], "o-", color=_ORANGE, label="validation")
        for number, (before, after) in enumerate(pairwise(log), start=1):
            if before.stage != after.stage:
                axes.axvline(number + 0.5, color=_GREY, linestyle=":", linewidth=1)
        axes.set(xlabel="epoch", ylabel=name.upper() if name == "auc" else name)
        axes.xaxis.get_major_locator().set_params(integer=True)
    left.legend()
    return _save(figure, folder / "training_history")


def write_plots(judged: Judged, folder: Path) -> dict[str, Path]:
    """{name: SVG file}; a PNG of the same name lies beside each. The same judgement gives the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "pacs-ai", "font.size": 10, "svg.fonttype": "path"})
    return {name: _write(draw, judged, folder / name) for name, draw in _PLOTS.items()}


def _write(draw: Callable[[Axes, Judged], None], judged: Judged, stem: Path) -> Path:
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    draw(figure.add_subplot(), judged)
    return _save(figure, stem)


def _save(figure: Figure, stem: Path) -> Path:
    figure.savefig(stem.with_suffix(".png"), dpi=120, metadata={"Software": None})
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    return stem.with_suffix(".svg")


def _confusion(axes: Axes, judged: Judged) -> None:
    counts = np.array(judged.confusion)
    axes.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        share = counts[row, column] / max(counts[row].sum(), 1)
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{share:.1%}",
            ha="center",
            va="center",
            color="white" if share > 0.5 else "black",
            fontsize=13,
        )
    axes.set(xticks=(0, 1), yticks=(0, 1), xlabel="called", ylabel="label", title="Confusion matrix")
    axes.set_xticklabels(["normal", "pneumonia"])
    axes.set_yticklabels(["normal", "pneumonia"], rotation=90, va="center")


def _roc(axes: Axes, judged: Judged) -> None:
    false_positive, true_positive, _ = roc_curve(judged.labels, judged.probabilities)
    (negative, false), (missed, found) = judged.confusion
    axes.plot(false_positive, true_positive, color=_BLUE)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
    axes.plot(false / (negative + false), found / (missed + found), "o", color=_ORANGE, label="operating point")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, judged: Judged) -> None:
    precision, recall, _ = precision_recall_curve(judged.labels, judged.probabilities)
    axes.plot(recall, precision, color=_BLUE)
    axes.axhline(judged.labels.mean(), color=_GREY, linestyle=":", linewidth=1, label="share of positive films")
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", xlim=(-0.01, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left")


def _reliability(axes: Axes, judged: Judged) -> None:
    bins = np.minimum((judged.probabilities * BINS).astype(int), BINS - 1)
    rows = [bins == number for number in np.unique(bins)]
    said = [judged.probabilities[row].mean() for row in rows]
    seen = [judged.labels[row].mean() for row in rows]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
    axes.plot(said, seen, "o-", color=_BLUE)
    for x, y, row in zip(said, seen, rows, strict=True):
        axes.annotate(str(row.sum()), (x, y), textcoords="offset points", xytext=(4, -11), fontsize=7, color=_GREY)
    axes.set(xlabel="probability", ylabel="share that is positive", title="Reliability (films in each bin)")


def _scores(axes: Axes, judged: Judged) -> None:
    edges = np.linspace(0, 1, 41).tolist()
    for label, name, colour in ((0, "normal", _BLUE), (1, "pneumonia", _ORANGE)):
        axes.hist(judged.probabilities[judged.labels == label], edges, alpha=0.6, label=name, color=colour)
    axes.axvline(judged.threshold, color="black", linestyle="--", linewidth=1, label="operating point")
    axes.set(xlabel="probability", ylabel="films", title="Scores", yscale="log")
    axes.legend(loc="upper center")


_PLOTS: dict[str, Callable[[Axes, Judged], None]] = {
    "confusion_matrix": _confusion,
    "roc": _roc,
    "precision_recall": _precision_recall,
    "reliability": _reliability,
    "scores": _scores,
}
