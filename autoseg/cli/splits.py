"""Groups and folds of plan_and_preprocess: what was asked for, what is remembered, and what a person wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoseg.cli.options import AGAIN, free_name

if TYPE_CHECKING:
    from autoseg.case import Dataset
    from autoseg.fingerprint import Fingerprint
    from autoseg.planners.folds import Splits
    from autoseg.workspace import Workspace


def grouped(place: Workspace, raw: Dataset, given: str | None) -> tuple[Dataset, str, bool]:
    """The data set with its groups, the expression they come from ("" if none), and whether cases belong together otherwise than before.

    Parameters
    ----------
    place : Workspace
    raw : Dataset
    given : str or None
        --group-regex as typed; None: the one of an earlier run holds.
    """
    from autoseg.errors import UsageError
    from autoseg.io.groups import describe_groups, group_by_name, partition

    known = _known(place.fingerprint_file(raw.name))
    pattern = given if given is not None else known.group_regex if known is not None else ""
    if pattern:
        try:
            raw = group_by_name(raw, pattern)
            if len(partition([(case.name, case.group) for case in raw.train])) < 2:
                raise UsageError(f"--group-regex {pattern} puts all cases into one group; folds need two, because a group is never split.")
        except UsageError as error:
            if given is not None:
                raise
            raise UsageError(f"{error} The expression is an earlier run's: give another one, or --group-regex '' for none.") from None
        why = "as given" if given is not None else "of an earlier run; --group-regex '' forgets it"
        click.echo(f"  Groups by --group-regex {pattern} ({why}): {describe_groups(raw)}")
    elif known is not None and known.group_regex:
        click.echo(f"  Groups by --group-regex {known.group_regex} are given up")
    before = None if known is None else partition([(case.name, case.group) for case in known.cases])
    return raw, pattern, before is not None and before != partition([(case.name, case.group) for case in raw.train])


def _known(file: Path) -> Fingerprint | None:
    """The fingerprint of an earlier run, of any version that can be read."""
    from autoseg.errors import FileFormatError
    from autoseg.fingerprint import Fingerprint
    from autoseg.io.json_files import load_json

    try:
        return load_json(file, Fingerprint) if file.is_file() else None
    except FileFormatError:
        return None  # it will be measured again


def made_splits(place: Workspace, fingerprint: Fingerprint, *, regrouped: bool = False) -> Splits:
    """The folds: a file that a person may have edited is kept as long as its cases are the data set's.

    Parameters
    ----------
    place : Workspace
    fingerprint : Fingerprint
    regrouped : bool
        Cases belong together otherwise than when the last run looked: folds that would split a group are then made anew.

    Raises
    ------
    FileFormatError
        If the file's folds name cases that the data set has never held.
    """
    from autoseg.io.json_files import load_json, save_json
    from autoseg.planners.folds import Splits, make_splits, split_groups

    file = place.splits_file(fingerprint.dataset)
    if file.is_file():
        known = load_json(file, Splits, hint=AGAIN)
        outdated = _other_cases(file, known, fingerprint)
        split = split_groups(known.folds, fingerprint)
        if split and regrouped and not outdated:
            outdated = f"the groups of cases changed, and {split[0]}"
        if not outdated:
            _say_of_known(file, known, fingerprint, split)
            return known
        splits = make_splits(fingerprint)
        earlier = free_name(file.with_name("splits_earlier.json"))
        file.replace(earlier)
        click.echo(f"  {outdated}: the folds are made anew; the earlier ones are in {earlier}")
    else:
        splits = make_splits(fingerprint)
    save_json(file, splits)
    for key in ("groups", "folds", "balance", "missing"):
        if key in splits.reasons:
            click.echo(f"  {'Warning' if key == 'missing' else key.capitalize()}: {splits.reasons[key]}")
    return splits


def _other_cases(file: Path, known: Splits, fingerprint: Fingerprint) -> str:
    """Why folds cannot be those of the data set as it is now; empty if they can. FileFormatError for names that are mere mistakes."""
    from autoseg.errors import FileFormatError

    names = {case.name for case in fingerprint.cases}
    named = {name for fold in known.folds for name in (*fold.train, *fold.val)}
    if named == names:
        return ""
    if {name for group in known.groups for name in group} != names:
        return f"{file} does not name the cases that the data set holds"
    if unknown := sorted(named - names):
        raise FileFormatError(f"{file}: its folds name cases that {fingerprint.dataset} does not hold: {_some(unknown)}. {AGAIN}")
    return ""


def _say_of_known(file: Path, known: Splits, fingerprint: Fingerprint, split: list[str]) -> None:
    """What an edited file does that a person may not have meant."""
    from autoseg.planners.folds import missing_classes

    click.echo(f"  Folds: unchanged ({file})")
    named = {name for fold in known.folds for name in (*fold.train, *fold.val)}
    if left_out := [case.name for case in fingerprint.cases if case.name not in named]:
        click.echo(f"  Warning: no fold names {_some(left_out)}: neither trained nor validated on")
    if split:
        more = f" (and {len(split) - 1} more)" if len(split) > 1 else ""
        click.echo(f"  Warning: {split[0]}{more}; scores on cases of a group that was trained on are too good")
    if missing := missing_classes(known.folds, fingerprint):
        click.echo(f"  Warning: {missing}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
