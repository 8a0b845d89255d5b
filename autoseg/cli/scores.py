"""Scores in words and columns: what `autoseg evaluate` and `autoseg compare` print."""

from __future__ import annotations

from collections.abc import Mapping

import click

from autoseg.cli.progress import count
from autoseg.cli.tables import grid
from autoseg.evaluate import Part, Summary
from autoseg.evaluate.compare import Comparison
from autoseg.evaluate.predictions import some_of
from autoseg.metrics.paired import Paired
from autoseg.metrics.statistics import Statistics

#: Columns of the table per class: heading, metric, digits.
COLUMNS = (
    ("Dice", "dice", 3),
    ("IoU", "iou", 3),
    ("precision", "precision", 3),
    ("recall", "recall", 3),
    ("surface Dice", "nsd", 3),
    ("HD95", "hd95", 2),
    ("mean dist.", "mean_surface_distance", 2),
    ("volume", "relative_volume_difference", 3),
    ("objects F1", "object_f1", 3),
)
SHOWN_WORST = 5


def print_summary(summary: Summary) -> None:
    """A table per class, folds and subgroups, the worst cases, and who is missing."""
    pooled = summary.pooled
    assert pooled is not None
    for line in (*class_lines(pooled), *_notes(summary, pooled), *_part_lines("fold", summary.folds)):
        click.echo(line)
    for column, parts in summary.subgroups.items():
        for line in _part_lines(column, parts):
            click.echo(line)
    click.echo("Worst cases by mean Dice:")
    for worst in summary.worst[:SHOWN_WORST]:
        fold = f", fold {worst.fold}" if worst.fold else ""
        click.echo(f"  {worst.case}: {worst.dice:.3f} (lowest: {worst.lowest_class} {worst.lowest_dice:.3f}{fold})")
    if summary.missing:
        click.echo(f"Not predicted, not scored: {count(len(summary.missing), 'case')} ({some_of(summary.missing)})")
    if summary.extra:
        click.echo(f"Without a truth, not scored: {count(len(summary.extra), 'case')} ({some_of(summary.extra)})")


def class_lines(part: Part) -> list[str]:
    """The means of each class, and over all."""
    rows: list[tuple[str, ...]] = [("class", *(heading for heading, _, _ in COLUMNS))]
    for name, statistics in (*part.classes.items(), ("mean", part.overall)):
        rows.append((name, *(_mean(statistics.get(metric), digits) for _, metric, digits in COLUMNS)))
    return list(grid(rows))


def _notes(summary: Summary, part: Part) -> list[str]:
    unit = {"mm": "mm", "pixel": "pixels", "mixed": "mm or pixels, by case: their means say little"}.get(summary.unit, "")
    tolerance = "" if summary.rules is None else f"; surface Dice at {summary.rules.tolerance:g}"
    dice = part.overall["dice"]
    lines = [f"Distances in {unit}{tolerance}; volume: relative difference."]
    if dice.mean is not None:
        shown = f"Dice of {count(part.num_cases, 'case')}: mean {dice.mean:.4f}"
        if dice.low is not None and dice.high is not None:
            drawn = f"{part.num_groups} groups" if summary.drawn == "groups" else "cases"
            shown += f" (95 % interval {dice.low:.4f} to {dice.high:.4f}, drawn over {drawn})"
        lines.append(f"{shown}, median {dice.median:.4f}, quartiles {dice.q25:.4f} and {dice.q75:.4f} of the cases' means.")
    missed, invented = sum(part.missed.values()), sum(part.invented.values())
    if missed or invented:
        lines.append(
            f"Classes that were there and not predicted: {missed}; predicted and not there: {invented}. No distance counts them; Dice does."
        )
    return lines


def _part_lines(what: str, parts: Mapping[str, Part]) -> list[str]:
    if not parts:
        return []
    rows: list[tuple[str, ...]] = [(what, "cases", "Dice", "95 % interval", "median", "surface Dice", "HD95")]
    for name, part in parts.items():
        dice, nsd, hd95 = (part.overall.get(metric) for metric in ("dice", "nsd", "hd95"))
        low, high = (None, None) if dice is None else (dice.low, dice.high)
        shown = "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        median = "-" if dice is None or dice.median is None else f"{dice.median:.3f}"
        rows.append((name, str(part.num_cases), _mean(dice, 3), shown, median, _mean(nsd, 3), _mean(hd95, 2)))
    return list(grid(rows))


def print_comparison(found: Comparison) -> None:
    """A table per metric, and what was left out."""
    click.echo(f"a: {found.run_a}")
    click.echo(f"b: {found.run_b}")
    for metric, classes in found.classes.items():
        title = {"dice": "Dice", "nsd": "surface Dice"}[metric]
        corrected = found.corrected[metric]
        heading = (title, "n", "a", "b", "b - a", "95 % interval", "better/worse", "effect", "p", "p corrected")
        rows = [heading, *(_pair_row(name, pair, corrected[name]) for name, pair in classes.items())]
        for line in grid([*rows, _pair_row("mean of classes", found.mean[metric], None)]):
            click.echo(line)
    units = next(iter(found.mean.values())).units if found.mean else 0
    who = f"{count(units, 'group')} of cases, each averaged first" if found.drawn == "groups" else count(units, "case")
    click.echo(f"Wilcoxon signed-rank test over {who}; corrected for the number of classes (Holm). Effect: rank-biserial correlation.")
    for name, only in (("a", found.only_a), ("b", found.only_b)):
        if only:
            click.echo(f"Only in {name}, not compared: {count(len(only), 'case')} ({some_of(only)})")
    for note in found.notes:
        click.echo(note)


def _pair_row(name: str, pair: Paired, corrected: float | None) -> tuple[str, ...]:
    between = "-" if pair.low is None or pair.high is None else f"{pair.low:+.4f} to {pair.high:+.4f}"
    values = (_number(pair.mean_a, ".4f"), _number(pair.mean_b, ".4f"), _number(pair.difference, "+.4f"))
    counts = f"{pair.better}/{pair.worse}"
    return (name, str(pair.n), *values, between, counts, _number(pair.effect, "+.2f"), _number(pair.p, ".2g"), _number(corrected, ".2g"))


def _mean(statistics: Statistics | None, digits: int) -> str:
    return "-" if statistics is None or statistics.mean is None else f"{statistics.mean:.{digits}f}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
