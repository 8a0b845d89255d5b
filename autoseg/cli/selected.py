"""What `autoseg select` chose: in words and columns, and for `autoseg predict --ensemble`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from autoseg.cli.progress import count
from autoseg.cli.tables import grid
from autoseg.ensemble import HALF
from autoseg.infer.folds import Choice, find_folds
from autoseg.metrics.paired import Paired
from autoseg.select.reasons import NOT_ASKED
from autoseg.select.selection import Selected, Selection, Trial, load_selection
from autoseg.workspace import Workspace, run_folders


def choose_selected(place: Workspace, name: str, asked: Mapping[str, object]) -> Selected | Choice | None:
    """The selection that --ensemble means, or the folds of its one run if nothing else is on.

    None if there is none, or an option asks for something else, which is said.

    Raises
    ------
    FileFormatError
        If selection.json is damaged.
    UsageError
        If a net that it uses is not there, or is another one than was judged.
    """
    file = place.selection_file(name)
    if not file.is_file():
        return None
    if given := next((option for option, value in asked.items() if value is not None), None):
        if given != "--no-selection":
            click.echo(f"{file} is not used: {given} asks for one run")
        return None
    selected = Selected(results=place.results(name), selection=load_selection(file))
    choices = selected.choices()  # stale nets are said before anything is loaded
    if new := _trained_since(selected):
        click.echo(f"Not judged in {file}: {', '.join(new)}; autoseg select would")
    if not selected.selection.changes_masks:
        click.echo(f"{file} says: {selected.selection.summary()} alone, without thresholds or post-processing")
        return choices[0]
    return selected


def _trained_since(selected: Selected) -> list[str]:
    """Runs with as many finished folds as the members have, that the selection does not know."""
    known = {member.run for member in selected.selection.members}
    asked_out = {name for name, why in selected.selection.left_out.items() if why == NOT_ASKED}
    found = {f"{run.parent.name}/{run.name}": find_folds(run).keys() - {"all"} for run in run_folders(selected.results)}
    num_folds = selected.selection.num_folds
    return sorted(name for name, folds in found.items() if len(folds) >= num_folds and name not in known | asked_out)


def print_selection(selection: Selection) -> None:
    """The members, what was tried, what is on in each class, and what it all gains."""
    for line in (*_member_lines(selection), *_trial_lines(selection), *_class_lines(selection)):
        click.echo(line)
    who = f"{selection.num_groups} groups of {count(selection.num_cases, 'case')}" if selection.num_groups < selection.num_cases else ""
    click.echo(f"Judged on {who or count(selection.num_cases, 'case')} by {selection.rule}")
    if selection.exclusive:
        click.echo("No thresholds: classes exclude each other, and the most probable one stays.")
    click.echo(f"Chosen: {selection.summary()}. Dice {_total(selection.total)}.")
    if len(selection.used) > 1:
        click.echo("Here each member was one net; predictions take the mean of its folds, which has part of a vote's gain already.")


def _member_lines(selection: Selection) -> list[str]:
    used = {member.run for member in selection.used}
    rows = [("member", "folds", "Dice", "used")]
    rows += [(m.run, str(len(m.folds)), f"{m.dice:.4f}", "yes" if m.run in used else "no") for m in selection.members]
    return list(grid(rows))


def _trial_lines(selection: Selection) -> list[str]:
    """Each ensemble; of what is tried class by class those that are on, and how many are not."""
    rows: list[tuple[str, ...]] = [("tried", "class", "against", "gain", "95 % interval", "p", "on")]
    hidden: dict[str, int] = {}
    for trial in selection.tried:
        if trial.is_on or not trial.class_name:
            rows.append(_row(trial))
        else:
            hidden[trial.candidate] = hidden.get(trial.candidate, 0) + 1
    lines = list(grid(rows)) if len(rows) > 1 else []
    if hidden:
        listed = ", ".join(f"{name} in {num} class{'' if num == 1 else 'es'}" for name, num in hidden.items())
        lines.append(f"Not switched on: {listed}.")
    return lines


def _row(trial: Trial) -> tuple[str, ...]:
    gain = trial.gain
    between = "-" if gain.low is None or gain.high is None else f"{gain.low:+.4f} to {gain.high:+.4f}"
    named = f"{trial.candidate} ({trial.choice})" if trial.choice and trial.class_name else trial.candidate
    p = "-" if gain.p is None else f"{gain.p:.2g}"
    on = "on" if trial.is_on else f"no: {trial.why_not}"
    return (named, trial.class_name or "all", trial.against, _signed(gain.difference), between, p, on)


def _class_lines(selection: Selection) -> list[str]:
    """A row for each class in which something is on."""
    rows: list[tuple[str, ...]] = [("class", "Dice before", "after", "threshold", "post-processing")]
    thresholds = selection.thresholds or (HALF,) * len(selection.classes)
    for name, threshold, cleaning in zip(selection.classes, thresholds, selection.cleanings, strict=True):
        gain = selection.total_of_class[name]
        done = ["holes filled"] if cleaning.fill_holes else []
        done += ["largest component"] if cleaning.largest else []
        done += [f"at least {cleaning.min_size:.4g} {selection.unit}"] if cleaning.min_size else []
        if threshold != HALF or done:
            cut = "0.5" if threshold == HALF else f"{threshold / 255:.3f}"
            rows.append((name, _number(gain.mean_a), _number(gain.mean_b), cut, ", ".join(done) or "-"))
    return list(grid(rows)) if len(rows) > 1 else []


def _total(total: Paired) -> str:
    between = "" if total.low is None or total.high is None else f", 95 % interval {total.low:+.4f} to {total.high:+.4f}"
    gain = f"{_signed(total.difference)}{between}"
    return f"{_number(total.mean_a)} (best member) to {_number(total.mean_b)} ({gain}), on cases that chose neither"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
