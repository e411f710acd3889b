"""`tessera predict RUN --images DIR`: meshes or normals of pictures of one's own."""

import csv
from pathlib import Path
from typing import Annotated

import tyro

from ..training.predict import PredictOptions, predict
from ..training.trained import load_trained
from .console import progress_console


def predict_run(
    run: Annotated[Path, tyro.conf.Positional],
    options: Annotated[PredictOptions, tyro.conf.arg(name="")],
    images: Path,
    out: Path | None = None,
    checkpoint: str = "best",
    device: str = "auto",
) -> int:
    """Predict from pictures: NAME.png with an alpha channel (or NAME_mask.png beside it), square, the person in the
    middle, NAME.npz with the `vertices` of its body where the network wants one.

    Args:
        run: folder of the run.
        options: how.
        images: folder of the pictures.
        out: folder of the predictions; RUN/predict by default.
        checkpoint: best, last, or a file.
        device: auto, cpu, cuda, or one card such as cuda:1.
    """
    trained = load_trained(run, None, checkpoint, device)
    folder, console, rows = out or run / "predict", progress_console(), []
    for row in predict(trained, images, folder, options):
        rows.append(row)
        texts = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if v != "")
        console.print(" ".join(texts), highlight=False, soft_wrap=True)
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    failed = sum(row["note"] != "" for row in rows)
    told = f", {failed} failed" if failed else ""
    console.print(f"{len(rows) - failed} predictions in {folder}{told}", highlight=False, soft_wrap=True)
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(predict_run, prog="tessera predict", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
