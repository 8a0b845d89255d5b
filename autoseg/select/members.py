"""The runs that can be members, and the cases on which they are compared."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.case import Case
from autoseg.checkpoint import read_plan
from autoseg.errors import UsageError
from autoseg.evaluate.predictions import some_of
from autoseg.infer.alike import check_alike
from autoseg.infer.fold_cases import trained_on
from autoseg.infer.folds import find_folds
from autoseg.io.names import escape_name
from autoseg.io.probabilities import SUFFIX
from autoseg.labels import LabelSpace
from autoseg.select.counting import JudgedCase
from autoseg.select.reasons import NOT_ASKED, UNFINISHED
from autoseg.workspace import CHECKPOINT, PROBABILITIES, VALIDATION, fold_folders, run_folders

VALIDATE_ANEW = "Delete that fold's summary.json and give the same train command again: it validates anew."


@dataclass(frozen=True, kw_only=True)
class Member:
    """A (plan, configuration, trainer) with all its folds.

    Parameters
    ----------
    name : str
        PLAN/CONFIG-TRAINER.
    folds : dict of str -> Path
        Fold -> its folder.
    labels : LabelSpace
    """

    name: str
    folds: dict[str, Path]
    labels: LabelSpace

    def checkpoints(self) -> dict[str, Path]:
        """Fold -> file."""
        return {fold: folder / CHECKPOINT for fold, folder in self.folds.items()}

    def stored(self, fold: str, case: str) -> Path:
        """The out-of-fold probabilities of a case that `fold` was validated on."""
        return self.folds[fold] / VALIDATION / PROBABILITIES / f"{escape_name(case)}{SUFFIX}"


def find_members(
    results: Path,
    folds: Sequence[str],
    wanted: Sequence[str] | None = None,
    *,
    dealt: Mapping[str, str] | None = None,
    finish: Callable[[Path], str] | None = None,
    restart: Callable[[Path, Sequence[str]], str] | None = None,
) -> tuple[list[Member], dict[str, str]]:
    """The runs of a data set whose folds are all finished and belong together, and why others are left out.

    Parameters
    ----------
    results : Path
        results/NAME.
    folds : sequence of str
        Those of splits.json.
    wanted : sequence of str, optional
        Only these, PLAN/CONFIG-TRAINER.
    dealt : mapping of str -> str, optional
        Fold -> `infer.fold_cases.cases_digest` of its cases in splits.json.
    finish : callable, optional
        The command that trains what a run's folder lacks, with the options that it was begun with; for messages.
    restart : callable, optional
        The command that trains folds of a run anew, likewise.

    Raises
    ------
    UsageError
        If there is none, a wanted one is not finished or its folds do not belong together, or members have other classes.
    """
    trained = [run for run in run_folders(results) if any((fold / CHECKPOINT).is_file() for fold in fold_folders(run))]
    runs = {f"{run.parent.name}/{run.name}": run for run in trained}
    unknown = [name for name in wanted or () if name not in runs]
    if unknown:
        raise UsageError(f"--members: {', '.join(unknown)} is not trained; there are {', '.join(runs) or 'none'} (PLAN/CONFIG-TRAINER).")
    members, left_out, advice = [], {}, {}
    for name, run in runs.items():
        if wanted and name not in wanted:
            left_out[name] = NOT_ASKED
            continue
        finished = find_folds(run)
        if missing := [fold for fold in folds if fold not in finished]:
            left_out[name] = f"{len(missing)} of {len(folds)} {UNFINISHED} ({', '.join(missing)})"
            advice[name] = f". Finish it: {_command(name) if finish is None else finish(run)}."
            continue
        if mixed := _mixed({fold: finished[fold] for fold in folds}, dealt or {}):
            why, others = mixed
            again = _command(name, others, "--restart") if restart is None else restart(run, others)
            left_out[name] = f"{why}. Train {'it' if len(others) == 1 else 'them'} again: {again}."
            continue
        labels = read_plan(finished[folds[0]] / CHECKPOINT).labels
        members.append(Member(name=name, folds={fold: finished[fold] for fold in folds}, labels=labels))
    if wanted and (unfinished := [name for name in wanted if name in left_out]):
        raise UsageError(f"--members {unfinished[0]}: {left_out[unfinished[0]]}{advice.get(unfinished[0], '')}")
    if not members:
        raise UsageError(f"{results} holds no run whose folds are all finished{_first_left_out(left_out, advice)}")
    _check_alike(members)
    return members, left_out


def choose_cases(
    members: Sequence[Member], held_out: Mapping[str, Sequence[str]], cases: Sequence[Case]
) -> tuple[list[JudgedCase], dict[str, str]]:
    """The cases of which every member has stored out-of-fold probabilities, and why others are left out.

    Parameters
    ----------
    members : sequence of Member
    held_out : mapping of fold -> cases
        Of splits.json.
    cases : sequence of Case
        The training cases of the data set.

    Raises
    ------
    UsageError
        If a member was trained with other folds, or there is no case.
    """
    by_name = {case.name: case for case in cases}
    judged: list[JudgedCase] = []
    left_out: dict[str, str] = {}
    for fold, names in held_out.items():
        for name in names:
            files = tuple(member.stored(fold, name) for member in members)
            missing = [k for k, file in enumerate(files) if not file.is_file()]
            if name not in by_name:
                left_out[name] = "is no training case of the data set any more"
            elif missing:
                left_out[name] = _why_missing(members[missing[0]], fold, name)
            else:
                judged.append(JudgedCase(case=by_name[name], fold=fold, files=files))
    if not judged:
        why = next(iter(left_out.values()), "splits.json holds none")
        raise UsageError(f"there is no case on which {some_of([member.name for member in members])} can be judged: {why}")
    return judged, left_out


def _why_missing(member: Member, fold: str, name: str) -> str:
    """Why a member has no probabilities of a case; UsageError if another of its folds holds it out."""
    other = next((found for found in member.folds if member.stored(found, name).is_file()), None)
    if other is not None:
        raise UsageError(
            f"{member.name} was trained with other folds than splits.json has now: {name} is held out by fold {other} there, by "
            f"fold {fold} here. A case must be held out by the same fold of every member; train it again (--restart), or leave it out with "
            "--members."
        )
    return f"{member.stored(fold, name)} is missing. {VALIDATE_ANEW}"


def _check_alike(members: Sequence[Member]) -> None:
    first = members[0]
    for other in members[1:]:
        if (other.labels.classes, other.labels.exclusive, other.labels.values) != (
            first.labels.classes,
            first.labels.exclusive,
            first.labels.values,
        ):
            differing = sorted(set(first.labels.classes) ^ set(other.labels.classes))
            what = f"{some_of(differing)} in one of them only" if differing else "in another order, or exclusive in one of them only"
            raise UsageError(
                f"{first.name} and {other.name} have other classes: {what}. Members must have the same; say which to judge with --members."
            )


def _mixed(folds: Mapping[str, Path], dealt: Mapping[str, str]) -> tuple[str, Sequence[str]] | None:
    """Why a run's folds cannot be judged as one, and those to train again; None if they can.

    Folds that are all of the same earlier splits belong together: which of their cases can be judged, `choose_cases` sees.
    """
    first, *others = folds
    for fold in others:
        try:
            check_alike(folds[each] / CHECKPOINT for each in (first, fold))
        except UsageError as error:
            return str(error).partition(";")[0], [fold]
    records = {fold: trained_on(folder) for fold, folder in folds.items()}
    stale = [fold for fold, (_, cases) in records.items() if cases and cases != dealt.get(fold, cases)]
    if not stale or (len(stale) == len(folds) and len({data for data, _ in records.values()}) == 1):
        return None
    which, whom = (f"fold {stale[0]} was", "it") if len(stale) == 1 else (f"folds {', '.join(stale)} were", "them")
    return f"{which} trained on other cases than splits.json has for {whom} now", stale


def _command(name: str, folds: Sequence[str] = (), *words: str) -> str:
    plan, _, run = name.partition("/")
    config, _, trainer = run.partition("-")
    options = [*([] if plan == "default" else ["--plan", plan]), *([] if trainer == "default" else ["--trainer", trainer]), *words]
    return shlex.join(["autoseg", "train", config, f"fold{','.join(folds)}" if folds else "fold0..4", *options])


def _first_left_out(left_out: Mapping[str, str], advice: Mapping[str, str]) -> str:
    if not left_out:
        return ". Train first: autoseg train 2d fold0..4."
    name, why = next(iter(left_out.items()))
    return f": {name} has {why}{advice[name]}" if name in advice else f" and belong together: {name}: {why}"
