"""autoseg predict"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import AGAIN, choose_dataset, dataset_option, parse_folds, workspace_option
from autoseg.cli.progress import Bar, count
from autoseg.errors import UsageError

if TYPE_CHECKING:
    from autoseg.case import Case, Dataset
    from autoseg.infer.files import Outcome
    from autoseg.infer.folds import Choice
    from autoseg.workspace import Workspace

PATH = click.Path(path_type=Path)
FORMAT_HELP = (
    "What to write, several at once (masks,overlay): masks, map, rle (submission.csv), polygons (HandBone JSON), coco, probabilities, npz, "
    "overlay.  [default: masks, or map where classes exclude each other; rle for HandBone]"
)
EPILOG = """\b
Examples:
  autoseg predict --ensemble                             the data set's own test images, all trained folds
  autoseg predict --ensemble -i hand.png -o out          one image
  autoseg predict --folds fold0 -i images -o out --no-tta  one fold, faster
  autoseg predict --ensemble --format masks,overlay      pictures to look at beside the masks
  autoseg predict --ensemble --part 2/5                  the second of five jobs that write into one folder
"""


@click.command(name="predict", epilog=EPILOG)
@click.option("--ensemble", is_flag=True, help="Average all finished folds.")
@dataset_option
@click.option("-i", "--input", "source", type=PATH, metavar="PATH", help="An image or a folder.  [default: the test images]")
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Where to write.  [default: results/NAME/predictions/RUN]")
@click.option("--folds", metavar="FOLDS", help="Average these folds only: fold0..4, fold0,2.")
@click.option("--no-tta", is_flag=True, help="Do not average over flipped images: faster, slightly worse.")
@click.option("--step", type=float, default=0.5, show_default=True, metavar="S", help="Distance of tiles as a share of the patch.")
@click.option("--config", metavar="CONFIG", help="Configuration, if several are trained.")
@click.option("--plan", "plan_name", metavar="NAME", help="Plan, if several are trained.")
@click.option("--trainer", metavar="NAME", help="Trainer, if several are trained.")
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1.  [default: the first GPU, else the CPU]")
@click.option("--format", "format_text", metavar="NAMES", help=FORMAT_HELP)
@click.option("--part", "part_text", metavar="K/N", help="Only every N-th image, from the K-th on: for job arrays.")
@click.option("--overwrite", is_flag=True, help="Predict finished cases again.")
@workspace_option
@click.pass_context
def command(
    context: click.Context,
    ensemble: bool,
    dataset: str | None,
    source: Path | None,
    output: Path | None,
    folds: str | None,
    no_tta: bool,
    step: float,
    config: str | None,
    plan_name: str | None,
    trainer: str | None,
    device: str | None,
    format_text: str | None,
    part_text: str | None,
    overwrite: bool,
    workspace: Path,
) -> None:
    """Segment images with trained folds."""
    if not 0 < step <= 1:
        raise UsageError(f"--step must lie above 0 and up to 1, got {step:g}")
    if ensemble and folds is not None:
        raise UsageError("--ensemble and --folds exclude each other: --ensemble takes all finished folds.")
    part = None if part_text is None else parse_part(part_text)
    place, folder = choose_dataset(workspace, dataset, results_suffice=source is not None)

    from autoseg.infer.devices import parse_devices
    from autoseg.infer.files import choose_part
    from autoseg.infer.formats import parse_formats
    from autoseg.io.filenames import image_stem
    from autoseg.io.layouts import read_dataset
    from autoseg.predictor import Predictor

    formats = None if format_text is None else parse_formats(format_text)
    raw = read_dataset(folder) if folder.is_dir() else None
    cases = choose_cases(raw, folder, source)
    choice = choose(place, folder.name, plan_name, config, trainer, ensemble=ensemble, folds=folds)
    used = parse_devices(device)
    if len(used) > 1:
        raise UsageError(f"--device {device}: predict uses one device; name one of them.")
    num = len(choose_part(cases, part))
    of = "" if part is None else f" of {len(cases)} (part {part[0]}/{part[1]})"
    if not num:
        click.echo(f"Part {part_text} holds no image: there are {len(cases)}")
        return
    click.echo(f"Predicting {count(num, 'image')}{of} with {choice.run.name}, {choice.note}, on {used[0]}")
    predictor = Predictor.from_choice(choice, device=used[0], tta=not no_tta, step=step)
    run = "ensemble" if ensemble else f"{predictor.stage}-fold{'_'.join(choice.folds)}"
    out = output or place.predictions(folder.name) / (run if source is None else f"{run}_{image_stem(source.resolve())}")
    if source is not None and out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"-o {out} lies in the folder of the images to predict; name a folder outside of {source}.")
    with Bar("Predicting", "image") as bar:
        outcome = predictor.predict_files(
            cases, out, dataset=raw, overwrite=overwrite, formats=formats, part=part, progress=bar
        )  # fmt: skip
    context.exit(conclude(outcome, out, len(cases) if part else 0))


def parse_part(text: str) -> tuple[int, int]:
    """--part as typed: 2/5 is the second of five parts.

    Examples
    --------
    >>> parse_part("2/5")
    (2, 5)
    """
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--part {text}: say which of how many, 2/5 for instance, from 1/5 to 5/5.")
    return int(match[1]), int(match[2])


def choose_cases(raw: Dataset | None, folder: Path, source: Path | None) -> list[Case]:
    """The images that -i means, else the data set's own test images."""
    from autoseg.io.inputs import find_inputs

    if source is not None:
        return find_inputs(source, raw)
    if raw is None or not raw.test:
        raise UsageError(f"{folder} holds no test images; name images to predict with -i FILE_OR_FOLDER.")
    return list(raw.test)


def choose(
    place: Workspace, name: str, plan: str | None, config: str | None, trainer: str | None, *, ensemble: bool, folds: str | None
) -> Choice:
    """The run and its folds."""
    from autoseg.infer.folds import NUM_FOLDS, choose_folds, find_run
    from autoseg.io.json_files import load_json
    from autoseg.planners.folds import Splits

    run = find_run(place.results(name), plan=plan, config=config, trainer=trainer)
    splits = place.splits_file(name)
    total = len(load_json(splits, Splits, hint=AGAIN).folds) if splits.is_file() else NUM_FOLDS
    wanted = None if folds is None else parse_folds((folds,), total)
    return choose_folds(run, wanted, ensemble=ensemble, total=total)


def conclude(outcome: Outcome, out: Path, total: int = 0) -> int:
    """Say what was done, and of parts what is left of all `total` images; the exit code."""
    if outcome.added:
        click.echo(f"{count(len(outcome.added), 'image')} predicted before: the formats that were missing were made from the masks")
    if outcome.skipped:
        click.echo(f"{count(len(outcome.skipped), 'image')} finished before; --overwrite predicts again")
    for name, reason in outcome.failures.items():
        click.echo(f"Failed: {name}: {reason}", err=True)
    for file, num in outcome.joined.items():
        if num < total:
            click.echo(f"{file} holds {num} of {total} images so far; the other parts, or the same command without --part, add theirs")
    finished = outcome.num_finished
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    click.echo(f"Predictions of {count(finished, 'image')} in {out}{failed}" if finished else f"No image could be predicted{failed}")
    return 1 if outcome.failures else 0
