"""autoseg predict"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from autoseg.cli import complete
from autoseg.cli.options import AGAIN, choose_dataset, dataset_option, parse_folds, read_raw, workspace_option
from autoseg.cli.progress import Bar, count
from autoseg.cli.report import make_after
from autoseg.errors import UsageError

if TYPE_CHECKING:
    from autoseg.case import Case, Dataset
    from autoseg.cli.predict_nets import Nets
    from autoseg.infer.files import Outcome
    from autoseg.infer.folds import Choice
    from autoseg.workspace import Workspace

PATH = click.Path(path_type=Path)
#: Folds that an exported model may name; it says itself which ones it has.
MANY_FOLDS = 1000
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
  autoseg predict --ensemble --device cuda:0,1           the images shared out among two GPUs
  autoseg predict --model handbone.zip -i images -o out  an exported model, no workspace needed
"""


@click.command(name="predict", epilog=EPILOG)
@click.option("--ensemble", is_flag=True, help="All finished folds together; as `autoseg select` chose, if it did.")
@click.option("--no-selection", is_flag=True, help="Do not use what `autoseg select` chose: average the folds of one run.")
@dataset_option
@click.option("-i", "--input", "source", type=PATH, metavar="PATH", help="An image or a folder.  [default: the test images]")
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Where to write.  [default: results/NAME/predictions/RUN]")
@click.option("--model", type=PATH, metavar="PATH", help="An exported model (autoseg export) or a run's folder; no workspace is needed.")
@click.option("--folds", metavar="FOLDS", help="Average these folds only: fold0..4, fold0,2.")
@click.option("--no-tta", is_flag=True, help="Do not average over flipped images: faster, slightly worse.")
@click.option("--step", type=float, default=0.5, show_default=True, metavar="S", help="Distance of tiles as a share of the patch.")
@click.option("--config", metavar="CONFIG", shell_complete=complete.configs, help="Configuration, if several are trained.")
@click.option("--plan", "plan_name", metavar="NAME", shell_complete=complete.plans, help="Plan, if several are trained.")
@click.option("--trainer", metavar="NAME", help="Trainer, if several are trained.")
@click.option(
    "--device",
    metavar="DEVICE",
    shell_complete=complete.devices,
    help="cpu, cuda, cuda:1; cuda:0,1 shares the images out.  [default: the first GPU, else the CPU]",
)
@click.option("--engine", type=click.Choice(("torch", "onnx")), help="What computes; onnx: onnxruntime, fp32.  [default: torch]")
@click.option("--format", "format_text", metavar="NAMES", shell_complete=complete.formats, help=FORMAT_HELP)
@click.option("--part", "part_text", metavar="K/N", help="Only every N-th image, from the K-th on: for job arrays.")
@click.option("--overwrite", is_flag=True, help="Predict finished cases again.")
@workspace_option
@click.pass_context
def command(
    context: click.Context,
    ensemble: bool,
    no_selection: bool,
    dataset: str | None,
    source: Path | None,
    output: Path | None,
    model: Path | None,
    folds: str | None,
    no_tta: bool,
    step: float,
    config: str | None,
    plan_name: str | None,
    trainer: str | None,
    device: str | None,
    engine: Literal["torch", "onnx"] | None,
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
    if model is not None:
        check_model_options(model, {"--config": config, "--plan": plan_name, "--trainer": trainer}, source, output, dataset)
    place, folder = (None, None) if model and not dataset else choose_dataset(workspace, dataset, results_suffice=source is not None)

    from autoseg.cli.confidence import calibrate_first
    from autoseg.cli.predict_nets import Nets
    from autoseg.cli.selected import choose_selected
    from autoseg.infer.devices import parse_devices
    from autoseg.infer.files import choose_part
    from autoseg.infer.flow import PROCESSES
    from autoseg.infer.formats import parse_formats

    formats = None if format_text is None else parse_formats(format_text)
    raw = read_raw(place, folder, keep=False) if place is not None and folder is not None and folder.is_dir() else None
    cases = choose_cases(raw, folder, source)
    if model is not None:
        nets = Nets(
            place=model, folds=None if folds is None else parse_folds((folds,), MANY_FOLDS), tta=not no_tta, step=step, engine=engine
        )
    else:
        assert place is not None and folder is not None, "chosen where no --model is given"  # noqa: PT018
        asked = {"--plan": plan_name, "--config": config, "--trainer": trainer, "--no-selection": no_selection or None}
        selected = choose_selected(place, folder.name, asked) if ensemble else None
        choice = selected or choose(place, folder.name, plan_name, config, trainer, ensemble=ensemble, folds=folds)
        nets = Nets(place=choice, tta=not no_tta, step=step, engine=engine)
    devices = parse_devices(device)
    num = len(choose_part(cases, part))
    if not num:
        click.echo(f"Part {part_text} holds no image: there are {len(cases)}")
        return
    of = "" if part is None else f" of {len(cases)} (part {part[0]}/{part[1]})"
    click.echo(f"Predicting {count(num, 'image')}{of} with {nets.words}, on {', '.join(map(str, devices))}")
    out = output or default_output(place, nets, source, ensemble=ensemble)
    if source is not None and out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"-o {out} lies in the folder of the images to predict; name a folder outside of {source}.")
    if out.is_file():
        raise UsageError(f"-o {out}: is a file; name a folder, a new one or one of earlier predictions.")
    calibrate_first(nets.place, tta=not no_tta)
    if engine == "onnx" and model is None:
        click.echo("onnxruntime computes; nets that are not exported yet are exported first, about 10 s each")
    with Bar("Predicting", "image") as bar:
        outcome = nets.predict_files(
            devices, cases, out, dataset=raw, overwrite=overwrite, formats=formats, part=part, processes=PROCESSES // len(devices),
            progress=bar,
        )  # fmt: skip
    code = conclude(outcome, out, len(cases) if part else 0, model)
    if place is not None and folder is not None and out.resolve().is_relative_to(place.predictions(folder.name).resolve()):
        make_after(place, folder)
        if raw is not None and source is None and part is None and not code:
            say_next(place, raw, out)
    context.exit(code)


def say_next(place: Workspace, raw: Dataset, out: Path) -> None:
    """How the predictions of a data set's test images are scored, if their truth is there."""
    if any(case.truth is not None for case in raw.test):
        click.echo(f"Next: autoseg evaluate {shlex.quote(str(out))}{place.fewest_options(raw.root)}")
    elif (place.root / "truth" / raw.name).is_dir() and out == place.predictions(raw.name) / "ensemble":
        click.echo(f"Next: autoseg demo score{place.option}")


def check_model_options(model: Path, of_runs: dict[str, str | None], source: Path | None, output: Path | None, dataset: str | None) -> None:
    """UsageError unless the options go with --model."""
    if given := [name for name, value in of_runs.items() if value is not None]:
        raise UsageError(f"{given[0]} chooses among the runs of a workspace, and --model names its nets itself; leave one of them out.")
    if not model.exists():
        raise UsageError(f"--model {model}: there is no such file or folder. `autoseg export` writes one.")
    if source is None and dataset is None:
        raise UsageError("--model needs the images to predict: -i FILE_OR_FOLDER, or -d NAME for a data set's test images.")
    if output is None:
        raise UsageError("--model needs a folder to write to: -o DIR.")


def default_output(place: Workspace | None, nets: Nets, source: Path | None, *, ensemble: bool) -> Path:
    """results/NAME/predictions/RUN"""
    from autoseg.infer.folds import Choice
    from autoseg.io.filenames import image_stem
    from autoseg.select.selection import Selected

    assert place is not None and isinstance(nets.place, Choice | Selected), "--model needs -o"  # noqa: PT018
    choice = nets.place
    run, results = "ensemble", choice.results if isinstance(choice, Selected) else choice.run.parents[1]
    if isinstance(choice, Choice) and not ensemble:
        run = f"{choice.run.name.partition('-')[0]}-fold{'_'.join(choice.folds)}"
    return place.predictions(results.name) / (run if source is None else f"{run}_{image_stem(source.resolve())}")


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


def choose_cases(raw: Dataset | None, folder: Path | None, source: Path | None) -> list[Case]:
    """The images that -i means, else the data set's own test images."""
    from autoseg.evaluate.predictions import some_of
    from autoseg.io.inputs import find_inputs, passed_over

    if source is not None:
        cases = find_inputs(source, raw)
        if others := passed_over(source, cases):
            are, names = "that is no image is" if len(others) == 1 else "that are no images are", some_of([file.name for file in others])
            click.echo(f"  {count(len(others), 'file')} {are} passed over: {names}")
        return cases
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


def conclude(outcome: Outcome, out: Path, total: int = 0, model: Path | None = None) -> int:
    """Say what was done, of parts what is left of all `total` images, and which exported model predicted; the exit code."""
    from autoseg.cli.confidence import say_expected

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
    if finished:
        say_expected(out, max(finished, total), model, is_part=total > 0)
    return 1 if outcome.failures else 0
