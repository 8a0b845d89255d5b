"""The runs that can be members, and the cases on which they are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.case import Case
from autoseg.checkpoint import read_plan
from autoseg.errors import UsageError
from autoseg.evaluate.predictions import some_of
from autoseg.infer.folds import find_folds
from autoseg.io.names import escape_name
from autoseg.io.probabilities import SUFFIX
from autoseg.labels import LabelSpace
from autoseg.select.counting import JudgedCase
from autoseg.workspace import CHECKPOINT, PROBABILITIES, VALIDATION, fold_folders, run_folders

#: Why a run is left out that a person leaves out.
NOT_ASKED = "not among --members"
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


def find_members(results: Path, folds: Sequence[str], wanted: Sequence[str] | None = None) -> tuple[list[Member], dict[str, str]]:
    """The runs of a data set whose folds are all finished, and why others are left out.

    Parameters
    ----------
    results : Path
        results/NAME.
    folds : sequence of str
        Those of splits.json.
    wanted : sequence of str, optional
        Only these, PLAN/CONFIG-TRAINER.

    Raises
    ------
    UsageError
        If there is none, a wanted one is not finished, or members have other classes.
    """
    trained = [run for run in run_folders(results) if any((fold / CHECKPOINT).is_file() for fold in fold_folders(run))]
    runs = {f"{run.parent.name}/{run.name}": run for run in trained}
    unknown = [name for name in wanted or () if name not in runs]
    if unknown:
        raise UsageError(f"--members: {', '.join(unknown)} is not trained; there are {', '.join(runs) or 'none'} (PLAN/CONFIG-TRAINER).")
    members, left_out = [], {}
    for name, run in runs.items():
        if wanted and name not in wanted:
            left_out[name] = NOT_ASKED
            continue
        finished = find_folds(run)
        if missing := [fold for fold in folds if fold not in finished]:
            left_out[name] = f"{len(missing)} of {len(folds)} folds not finished ({', '.join(missing)})"
            continue
        labels = read_plan(finished[folds[0]] / CHECKPOINT).labels
        members.append(Member(name=name, folds={fold: finished[fold] for fold in folds}, labels=labels))
    if wanted and (unfinished := [name for name in wanted if name in left_out]):
        raise UsageError(f"--members {unfinished[0]}: {left_out[unfinished[0]]}. {_train(unfinished[0])}")
    if not members:
        raise UsageError(f"{results} holds no run whose folds are all finished{_first_unfinished(left_out)}")
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


def _train(name: str) -> str:
    plan, _, run = name.partition("/")
    config, _, trainer = run.partition("-")
    options = ("" if plan == "default" else f" --plan {plan}") + ("" if trainer == "default" else f" --trainer {trainer}")
    return f"Finish it: autoseg train {config} fold0..4{options}."


def _first_unfinished(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ". Train first: autoseg train 2d fold0..4."
    name, why = next(iter(left_out.items()))
    return f": {name} has {why}. {_train(name)}"
