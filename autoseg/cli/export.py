"""autoseg export"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli import complete
from autoseg.cli.confidence import calibrate_first
from autoseg.cli.options import choose_dataset, dataset_option, workspace_option
from autoseg.cli.predict import PATH, choose
from autoseg.cli.progress import Bar, count, size
from autoseg.errors import FileFormatError, UsageError

if TYPE_CHECKING:
    from autoseg.infer.folds import Choice
    from autoseg.select.selection import Selected

EPILOG = """\b
Examples:
  autoseg export -d HandBone -o handbone.zip             all finished folds, or what autoseg select chose, as one file
  autoseg predict --model handbone.zip -i images -o out  on another machine, without data set or workspace
  autoseg export -d HandBone --onnx -o handbone-onnx     ONNX files, compared with torch
"""


@click.command(name="export", epilog=EPILOG)
@dataset_option
@click.option(
    "-o", "--output", type=PATH, metavar="PATH",
    help="The file, or with --onnx the folder.  [default: NAME.zip; in the run's folder; of a selection NAME-onnx]"
)  # fmt: skip
@click.option("--onnx", is_flag=True, help="ONNX files for any image size, in fp32; needs autoseg[export].")
@click.option("--folds", metavar="FOLDS", help="These folds only: fold0..4, fold0,2.  [default: all finished ones]")
@click.option("--config", metavar="CONFIG", shell_complete=complete.configs, help="Configuration, if several are trained.")
@click.option("--plan", "plan_name", metavar="NAME", shell_complete=complete.plans, help="Plan, if several are trained.")
@click.option("--trainer", metavar="NAME", help="Trainer, if several are trained.")
@click.option("--no-selection", is_flag=True, help="One run's folds, whatever autoseg select chose.")
@click.option("--overwrite", is_flag=True, help="Replace what an export of other nets wrote.")
@workspace_option
def command(
    dataset: str | None,
    output: Path | None,
    onnx: bool,
    folds: str | None,
    config: str | None,
    plan_name: str | None,
    trainer: str | None,
    no_selection: bool,
    overwrite: bool,
    workspace: Path,
) -> None:
    """Write trained nets as one file that predicts anywhere."""
    place, folder = choose_dataset(workspace, dataset, results_suffice=True)
    from autoseg.cli.selected import choose_selected
    from autoseg.infer.alike import check_alike
    from autoseg.infer.folds import Choice

    asked = {"--plan": plan_name, "--config": config, "--trainer": trainer, "--folds": folds, "--no-selection": no_selection or None}
    choice = choose_selected(place, folder.name, asked)
    if choice is not None and not isinstance(choice, Choice):
        click.echo(f"Exporting {choice.selection.summary()} (selection.json)")
        if onnx:
            _export_onnx(choice, output or Path(f"{folder.name}-onnx"), overwrite=overwrite)
        else:
            _export_bundle(choice, output or Path(f"{folder.name}.zip"), overwrite=overwrite)
        return
    choice = choice or choose(place, folder.name, plan_name, config, trainer, ensemble=folds is None, folds=folds)
    # Before calibrating, which may take long.
    check_alike(choice.folds.values())
    click.echo(f"Exporting {choice.run.name}, {choice.note}")
    if folds is None:
        calibrate_first(choice, tta=True)
    if onnx:
        from autoseg.bundle.onnx_folder import onnx_folder

        _export_onnx(choice, output or onnx_folder(choice), overwrite=overwrite)
    else:
        _export_bundle(choice, output or Path(f"{folder.name}.zip"), overwrite=overwrite)


def _export_bundle(source: Choice | Selected, path: Path, *, overwrite: bool) -> None:
    from autoseg.bundle.write import write_bundle

    if path.suffix.lower() != ".zip":
        raise UsageError(f"-o {path}: an exported model is a zip file; name it {path.name}.zip. (--onnx writes a folder.)")
    if path.is_dir():
        raise UsageError(f"-o {path}: is a folder; name a file.")
    if path.exists() and not overwrite:
        if _holds(path, source):
            click.echo(f"{path} holds these nets already; --overwrite writes it again")
            return
        raise UsageError(f"{path} is there and holds something else; name another file, or say --overwrite.")
    with Bar("Exporting", "net") as bar:
        manifest = write_bundle(path, source, bar)
    nets = sum(len(model.nets) for model in manifest.models)
    click.echo(f"{path}: {count(nets, 'net')}, {size(path.stat().st_size)}")
    click.echo(f"Next: autoseg predict --model {shlex.quote(str(path))} -i IMAGES -o OUT")


def _holds(path: Path, source: Choice | Selected) -> bool:
    """True if the file was written of the same checkpoints and the same selection by this version."""
    import hashlib

    from autoseg import __version__
    from autoseg.bundle.archive import open_archive
    from autoseg.bundle.contents import shared_selection
    from autoseg.bundle.manifest import SELECTION
    from autoseg.infer.folds import Choice
    from autoseg.infer.load import Origin
    from autoseg.io.json_files import to_json

    try:
        with open_archive(path) as archive:
            manifest = archive.manifest
    except FileFormatError:
        return False
    selection = manifest.files.get(SELECTION)
    if not isinstance(source, Choice):  # it names its checkpoints by their checksums
        wanted = hashlib.sha256(to_json(shared_selection(source.selection)).encode()).hexdigest()
        return (manifest.made_by, selection and selection.sha256) == (__version__, wanted)
    origin = Origin.of(source)
    found = (manifest.last.run, manifest.last.checkpoints, manifest.made_by, selection)
    return found == (origin.run, origin.folds, __version__, None)


def _export_onnx(source: Choice | Selected, folder: Path, *, overwrite: bool) -> None:
    from autoseg.bundle.onnx_folder import write_onnx

    if folder.is_file():
        raise UsageError(f"-o {folder}: is a file; --onnx writes a folder.")
    with Bar("Exporting", "net") as bar:
        manifest, difference = write_onnx(folder, source, bar, overwrite=overwrite)
    total = sum(facts.bytes for facts in manifest.files.values())
    compared = f"; logits differ from torch's by {difference:.0e} of the largest at most" if difference else ""
    click.echo(f"{folder}: {count(sum(len(model.nets) for model in manifest.models), 'net')}, {size(total)}{compared}")
    click.echo(f"Next: autoseg predict --model {shlex.quote(str(folder))} -i IMAGES -o OUT")
