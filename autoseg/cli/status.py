"""autoseg status"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoseg.cli.options import dataset_option, find_dataset, workspace_option
from autoseg.cli.progress import count, duration, size
from autoseg.cli.screen import name_of
from autoseg.cli.tables import grid

if TYPE_CHECKING:
    from autoseg.standing import Standing
    from autoseg.standing.fold import FoldStanding

EPILOG = """\b
Examples:
  autoseg status                    what is done, what runs, what failed, and what to type next
  autoseg status -d HandBone --json
"""


@click.command(name="status", epilog=EPILOG)
@dataset_option
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def command(dataset: str | None, workspace: Path, as_json: bool) -> None:
    """Show what is done, what runs and for how long still, what failed, what it takes on the disk, and what to type next."""
    place, folder, sentence = find_dataset(workspace, dataset, results_suffice=True)

    from autoseg.experiment_plans import names
    from autoseg.standing import look

    standing = look(place, folder.name, folder, shipped=tuple(names()))
    if as_json:
        import json

        click.echo(json.dumps(as_plain(standing), indent=2, ensure_ascii=False))
        return
    for line in (sentence, *lines(standing)):
        click.echo(line)


def lines(standing: Standing) -> Iterator[str]:
    """What a person reads."""
    from autoseg.standing import next_step

    yield from grid([*_data_rows(standing), *_after_rows(standing)])
    for run in standing.runs:
        yield f"Run {run.name}"
        yield from (f"  {line}" for line in grid([(name_of(fold.name), fold.state, _fold_text(fold)) for fold in run.folds]))
    yield _disk_line(standing)
    for note in standing.notes:
        first, *rest = note.splitlines() or [""]
        yield f"Cannot be read: {first}"
        yield from (f"  {line}" for line in rest)
    what, why = next_step(standing)
    yield f"Next: {what}   ({why})" if what else f"Next: {why}"


def _data_rows(standing: Standing) -> Iterator[tuple[str, str]]:
    if standing.num_labelled is not None:
        held = f"{count(standing.num_labelled, 'labelled case')}, {count(standing.num_test or 0, 'test image')}"
        yield "  raw data", f"{held} ({standing.folder})"
    folds = f"{count(standing.num_cases, 'case')} in {count(standing.num_folds, 'fold')}" if standing.num_folds else "not yet"
    changed = f"; since then {standing.changed}" if standing.changed else ""
    yield "  measured", folds + changed if standing.is_measured else "not yet"
    if standing.preparer is not None:
        yield "  running", f"plan_and_preprocess or clean, {standing.preparer}"
    for known in standing.plans:
        prepared = ", ".join(f"{config}: {num} of {standing.num_cases} cases prepared" for config, num in known.prepared.items())
        yield f"  plan {known.plan.name}", prepared + (f"; for other data: {'; '.join(known.misfits)}" if known.misfits else "")


def _after_rows(standing: Standing) -> Iterator[tuple[str, str]]:
    if standing.runs:
        yield "  selection", str(standing.place.selection_file(standing.name)) if standing.is_selected else "none yet"
    for known in standing.predictions:
        running = ", running" if known.is_running else ""
        yield "  predicted", f"{count(known.num_done, 'image')}{running} ({known.folder})"
    if standing.is_reported:
        yield "  report", str(standing.place.report_file(standing.name))


def _fold_text(fold: FoldStanding) -> str:
    """What there is to say of a fold beside its state."""
    share = "" if fold.share is None else f"{fold.share:.0%}"
    if fold.state == "done":
        parts = ["" if fold.dice is None else f"Dice {fold.dice:.4f}", duration(fold.used_s)]
        parts += ["on earlier cases than the fold has now"] if fold.is_outdated else []
    elif fold.state == "running":
        left = "" if fold.left_s is None else f"{duration(fold.left_s)} left for its command"
        parts = [f"{fold.doing} {share}".rstrip(), left, str(fold.owner)]
    elif fold.state == "killed":
        unsaved = "" if fold.is_saved else "nothing was saved yet"
        parts = [f"at {share}" if share else "", "its process ended without a word: killed, or out of memory", unsaved]
    elif fold.state == "not begun":
        parts = []
    else:
        validating = fold.share is not None and fold.share >= 1
        parts = ["trained, not validated" if validating else f"at {share}" if share else "", fold.why]
    return ", ".join(part for part in parts if part)


def _disk_line(standing: Standing) -> str:
    from autoseg.standing import CHEAP, folder_bytes, removables

    place, name = standing.place, standing.name
    sizes = (("raw", standing.folder), ("preprocessed", place.preprocessed(name)), ("results", place.results(name)))
    parts = ", ".join(f"{what} {size(folder_bytes(folder))}" for what, folder in sizes)
    free = sum(found.num_bytes for found in removables(standing) if found.kind in CHEAP)
    return f"Disk: {parts}" + (f"; autoseg clean frees {size(free)}" if free else "")


def as_plain(standing: Standing) -> dict[str, Any]:
    """The same for programs."""
    from autoseg.standing import folder_bytes, next_step

    place, name = standing.place, standing.name
    folders = {"raw": standing.folder, "preprocessed": place.preprocessed(name), "results": place.results(name)}
    what, why = next_step(standing)
    return {
        "dataset": name,
        "labelled": standing.num_labelled,
        "test": standing.num_test,
        "cases": standing.num_cases,
        "folds": standing.num_folds,
        "preparing": standing.preparer is not None,
        "plans": {known.plan.name: known.prepared for known in standing.plans},
        "runs": {run.name: {fold.name: _plain_fold(fold) for fold in run.folds} for run in standing.runs},
        "predictions": {str(known.folder): known.num_done for known in standing.predictions},
        "selected": standing.is_selected,
        "bytes": {key: folder_bytes(folder) for key, folder in folders.items()},
        "notes": list(standing.notes),
        "next": what,
        "why": why,
    }


def _plain_fold(fold: FoldStanding) -> dict[str, Any]:
    fields = {"state": fold.state, "doing": fold.doing, "share": fold.share, "left_s": fold.left_s, "dice": fold.dice}
    return fields | {"used_s": fold.used_s, "process": str(fold.owner) if fold.owner else None, "why": fold.why}
