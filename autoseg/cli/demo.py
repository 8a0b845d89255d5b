"""autoseg demo make, autoseg demo score"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import read_raw, workspace_option
from autoseg.cli.progress import Bar
from autoseg.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autoseg.case import Case, Dataset
    from autoseg.evaluate import Summary

EPILOG = """\b
Examples:
  autoseg demo make -w demo --people 40 --size 96
  autoseg demo score -w demo
"""


@click.group(name="demo", epilog=EPILOG)
def command() -> None:
    """A synthetic data set of hand X-rays in the files of HandBone, and how well its test images were segmented."""


@command.command(name="make", short_help="Draw the data set, with the truth of its test images.", epilog=EPILOG)
@workspace_option
@click.option("--people", type=int, default=40, show_default=True, metavar="N", help="People to train on; 36 % as many to test.")
@click.option("--size", type=int, default=512, show_default=True, metavar="PX", help="Edge of the square images, 64 to 4096.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="S", help="Other hands for another seed.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, metavar="N", help="Processes.")
def make(workspace: Path, people: int, size: int, seed: int, workers: int) -> None:
    """Write DIR/raw/HandBone, and the truth of its test images to DIR/truth/HandBone."""
    from autoseg.demo import write_phantom
    from autoseg.workspace import Workspace

    try:
        with Bar("Drawing hands", "image") as bar:
            files = write_phantom(workspace, people=people, size=size, seed=seed, workers=workers, progress=bar)
    except ValueError as error:
        raise UsageError(str(error)) from None
    click.echo(f"{files.num_train} training and {files.num_test} test images of {size} x {size} are in {files.raw}")
    click.echo(f"Next: autoseg check{Workspace(root=workspace).fewest_options(files.raw)}")


@command.command(name="score", short_help="Dice per class of the test images.", epilog=EPILOG)
@workspace_option
@click.option("-p", "--predictions", type=click.Path(path_type=Path), metavar="DIR", help="[default: the ensemble's]")
def score(workspace: Path, predictions: Path | None) -> None:
    """Dice per class of the phantom's test images, beside that of the mean training mask."""
    from autoseg.workspace import Workspace

    place = Workspace(root=workspace)
    raw = read_raw(place, place.raw / "HandBone", keep=False)
    out = predictions or place.predictions("HandBone") / "ensemble"
    if not out.is_dir():
        raise UsageError(f"{out} does not exist. Predict first: autoseg predict --ensemble.")
    cases = with_truth(raw, place.root / "truth" / "HandBone")
    net, mean = score_files(raw, cases, out), score_mean_mask(raw, cases)
    print_table(raw, net, mean)
    click.echo(f"Predictions: {out}")


def with_truth(raw: Dataset, truth: Path) -> list[Case]:
    """The test cases with their truth, which lies outside of raw/ and is read here alone."""
    from dataclasses import replace

    from autoseg.case import Truth

    cases = []
    for case in raw.test:
        image = case.images[0]
        file = truth / image.parent.name / f"{image.stem}.json"
        if not file.is_file():
            raise UsageError(f"{file} does not exist: only the phantom of `autoseg demo make` has the truth of its test images.")
        cases.append(replace(case, truth=Truth(kind="polygons", files=(file,))))
    return cases


def score_files(raw: Dataset, cases: list[Case], out: Path) -> Summary:
    """Dice of the masks that predict wrote."""
    from autoseg.evaluate import evaluate_case, summarise
    from autoseg.io.cases import read_case
    from autoseg.io.images import decode_file
    from autoseg.io.names import escape_name

    scores = []
    for case in cases:
        loaded = read_case(raw, case)
        assert loaded.labels is not None
        files = [out / escape_name(case.name) / f"{escape_name(name)}.png" for name in raw.classes]
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise UsageError(f"{missing[0]} does not exist. Predict again: autoseg predict --ensemble.")
        scores.append(evaluate_case(case.name, (decode_file(file).array[0] > 0 for file in files), loaded.labels))
    return summarise(scores, raw.classes)


def score_mean_mask(raw: Dataset, cases: list[Case]) -> Summary:
    """Dice of predicting, for every image, where each class lies in more than half of the training images: remembered positions."""
    import numpy as np

    from autoseg.evaluate import evaluate_case, summarise
    from autoseg.io.cases import read_case

    total: NDArray[np.float64] | None = None
    for case in raw.train:
        labels = read_case(raw, case).labels
        assert labels is not None
        masks = np.stack([labels.mask(k) for k in range(len(raw.classes))]).astype(np.float64)
        total = masks if total is None else total + masks
    assert total is not None
    remembered = total > len(raw.train) / 2
    scores = []
    for case in cases:
        labels = read_case(raw, case).labels
        assert labels is not None
        scores.append(evaluate_case(case.name, iter(remembered), labels))
    return summarise(scores, raw.classes)


def print_table(raw: Dataset, net: Summary, mean: Summary) -> None:
    """A line per class."""
    width = max(map(len, raw.classes))
    click.echo(f"{'Dice':{width}}    net  mean mask")
    for name in raw.classes:
        click.echo(f"{name:{width}}  {_number(net.classes[name]['dice'])}      {_number(mean.classes[name]['dice'])}")
    click.echo(f"{'mean':{width}}  {_number(net.mean['dice'])}      {_number(mean.mean['dice'])}")


def _number(value: float | None) -> str:
    return "    -" if value is None else f"{value:.3f}"
