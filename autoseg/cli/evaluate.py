"""autoseg evaluate"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import choose_dataset, dataset_option, read_raw, workspace_option
from autoseg.cli.progress import Bar, count
from autoseg.errors import UsageError
from autoseg.workspace import PREDICTIONS, RUN_RECORD, SUMMARY, VALIDATION, fold_of

if TYPE_CHECKING:
    from autoseg.case import Case, Dataset
    from autoseg.evaluate.predictions import Prediction
    from autoseg.workspace import Workspace

PATH = click.Path(path_type=Path)
EPILOG = """\b
Examples:
  autoseg evaluate results/HandBone/default/2d-default             the folds of a run, and all of them pooled
  autoseg evaluate predictions labelsTs                            a folder of predictions against a folder of labels
  autoseg evaluate predictions -d Lungs --tolerance 2              against a data set's own labels; surface Dice at 2 mm
  autoseg evaluate RUN -d HandBone --groups meta_data.xlsx --by sex,age
\b
Writes summary.json (means, medians, spread, intervals) and metrics.csv (a row per case and class) into PRED.
"""


@click.command(name="evaluate", epilog=EPILOG)
@click.argument("pred", type=PATH, metavar="PRED")
@click.argument("truth", type=PATH, metavar="[TRUTH]", required=False)
@dataset_option
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Where to write.  [default: PRED]")
@click.option(
    "--tolerance", type=float, default=1.0, show_default=True, metavar="MM", help="Of the surface Dice; pixels where no mm are known."
)
@click.option("--groups", "table", type=PATH, metavar="FILE", help="A .csv or .xlsx with a row per case or person, for --by.")
@click.option("--by", metavar="COLUMNS", help="Columns of it whose values make subgroups: sex,age.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one per core]")
@workspace_option
def command(
    pred: Path,
    truth: Path | None,
    dataset: str | None,
    output: Path | None,
    tolerance: float,
    table: Path | None,
    by: str | None,
    workers: int | None,
    workspace: Path,
) -> None:
    """Score predictions (a folder that predict wrote, or a run's folder) against a raw data set or a folder of labels."""
    if (table is None) != (by is None):
        raise UsageError("--groups FILE and --by COLUMNS belong together.")
    if not 0 <= tolerance < float("inf"):
        raise UsageError(f"--tolerance must be finite and at least 0, got {tolerance:g}")
    out = output_folder(pred, output)
    from autoseg.cli.scores import print_summary
    from autoseg.evaluate import TABLE, save_summary, summarise_fully, write_rows
    from autoseg.evaluate.folder import score_pairs
    from autoseg.evaluate.predictions import check_classes, choose_truth, pair_up
    from autoseg.fingerprint.hardware import count_cores
    from autoseg.metrics.measure import Rules

    predictions, is_validation = find(pred, workspace)
    place, raw = find_truth(workspace, dataset, truth, predictions)
    cases = choose_truth(raw, predictions, validation=is_validation and truth is None)
    cases = grouped(place, raw, cases)
    check_classes(raw, predictions)
    pairs, missing, extra = pair_up(predictions, cases)
    if is_validation:
        missing = expected(place, raw, predictions, missing)
    subgroups = None if table is None or by is None else read_subgroups(table, by, cases)
    rules = Rules(tolerance=tolerance)
    with Bar("Measuring", "case") as bar:
        scores = score_pairs(raw, pairs, rules, workers=workers or count_cores(), progress=bar)
    summary = summarise_fully(scores, raw.classes, rules, subgroups=subgroups, missing=missing, extra=extra)
    write_rows(out / TABLE, scores, raw.classes)
    save_summary(out / SUMMARY, summary)
    print_summary(summary)
    click.echo(f"Written: {out / SUMMARY}, {out / TABLE}")


def output_folder(pred: Path, output: Path | None) -> Path:
    """Where to write; never into a fold's folder, whose summary.json says that its training is finished."""
    if output is None:
        return pred / VALIDATION if (pred / VALIDATION).is_dir() else pred
    if (output / RUN_RECORD).is_file():
        raise UsageError(f"-o {output} is the folder of a training, which writes its own {SUMMARY}; name another one.")
    return output


def find(pred: Path, workspace: Path = Path()) -> tuple[list[Prediction], bool]:
    """The predictions in a folder, and whether they are a run's validation; UsageError if there are none."""
    from autoseg.evaluate.predictions import find_predictions, find_validation
    from autoseg.infer.folds import find_runs

    if not pred.is_dir():
        there = [place / PREDICTIONS / pred.name for place in (workspace / "results").glob("*")]
        raise UsageError(f"{pred}: there is no such folder of predictions{_or(there)}.")
    if validation := find_validation(pred):
        return validation, True
    if found := find_predictions(pred, fold=_fold_around(pred)):
        return found, bool(_fold_around(pred))
    below = [*find_runs(pred), *sorted((pred / PREDICTIONS).glob("*"))]
    raise UsageError(
        f"{pred} holds no predictions: neither CASE/CLASS.png (masks) nor CASE.png or CASE.nii.gz (maps), nor a run's folds{_or(below)}."
    )


def _or(folders: Sequence[Path]) -> str:
    """The folders that may have been meant, of those that are there."""
    from autoseg.evaluate.predictions import some_of

    there = [str(folder) for folder in folders if folder.is_dir()]
    return f"; there {'is' if len(there) == 1 else 'are'} {some_of(there)}" if there else ""


def _fold_around(pred: Path) -> str:
    """The fold whose validation folder this is; empty if it is none."""
    folder = pred.resolve()
    return fold_of(folder.parent) if folder.name == VALIDATION and folder.parent.name.startswith("fold") else ""


def find_truth(workspace: Path, dataset: str | None, truth: Path | None, predictions: list[Prediction]) -> tuple[Workspace, Dataset]:
    """The workspace, and the data set of the truths: TRUTH, described by -d if both are given, else -d."""
    from autoseg.evaluate.truth_folder import read_truth_folder
    from autoseg.io.pseudonyms import Salt
    from autoseg.workspace import Workspace

    if truth is not None and dataset is None:
        here = Workspace(root=workspace)
        return here, read_truth_folder(truth, predictions, salt=Salt(here.salt_file, keep=False))
    place, folder = choose_dataset(workspace, dataset)
    raw = read_raw(place, folder)
    return place, raw if truth is None else read_truth_folder(truth, predictions, raw, salt=Salt(place.salt_file))


def grouped(place: Workspace, raw: Dataset, cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The cases with the groups by which the data set was split into folds (--group-regex and blocks of neighbours included), if it was."""
    from autoseg.io.json_files import load_json
    from autoseg.planners.folds import Splits, in_groups

    file = place.splits_file(raw.name)
    return in_groups(load_json(file, Splits), cases) if file.is_file() else cases


def expected(place: Workspace, raw: Dataset, predictions: list[Prediction], missing: list[str]) -> list[str]:
    """Of the cases that were not predicted, those of the folds that are there, as far as splits.json says which they are."""
    from autoseg.io.json_files import load_json
    from autoseg.planners.folds import Splits

    file = place.splits_file(raw.name)
    if not file.is_file():
        return missing
    folds = {prediction.fold for prediction in predictions}
    val = {name for k, fold in enumerate(load_json(file, Splits).folds) if str(k) in folds for name in fold.val}
    return [name for name in missing if name in val]


def read_subgroups(table: Path, by: str, cases: tuple[Case, ...]) -> dict[str, dict[str, str]]:
    """Column -> case -> value, and a line about cases that the table does not know."""
    from autoseg.evaluate.subgroups import read_table, subgroups_of

    columns = [column.strip() for column in by.split(",") if column.strip()]
    if not columns:
        raise UsageError("--by is empty; name columns of the table: --by sex,age.")
    found = subgroups_of(read_table(table), columns, cases, table)
    for column, values in found.items():
        if left := len(cases) - len(values):
            click.echo(f"  {count(left, 'case')} without {column} in {table}")
    return found
