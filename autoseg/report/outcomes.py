"""Plans, curves and scores as the template shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.evaluate.summary import Scores, Summary
from autoseg.plan import Network, Plan, Stage, length_words
from autoseg.report.charts import LineChart, line_chart
from autoseg.report.found import Expected, Found, Run

GIB = 1024**3
#: Column of metrics.jsonl, title, logarithmic.
CURVES = (
    ("loss", "Loss", False),
    ("val_dice", "Dice of held-out cases", False),
    ("lr", "Learning rate", True),
    ("step_s", "Seconds per step", False),
)


@dataclass(frozen=True, kw_only=True)
class CaseRow:
    """A case in the table.

    Parameters
    ----------
    number : int
        Of its picture in the page, whether there is one or not.
    part : str
        fold0, or the name of a folder of predictions.
    dice, nsd, expected : float or None
        Means over the classes where defined; `expected` without a truth.
    lowest : str
        The class of lowest Dice, of lowest expected Dice without a truth.
    classes : dict class -> text
        Its Dice, or expected Dice with the interval.
    """

    number: int
    name: str
    part: str
    group: str
    dice: float | None
    nsd: float | None
    expected: float | None
    lowest: str
    lowest_value: float | None
    classes: dict[str, str]

    @property
    def badness(self) -> float:
        """What the worst case has least of; cases of which nothing is known come last."""
        value = self.dice if self.dice is not None else self.expected
        return 2.0 if value is None else value


def stage_rows(stage: Stage, hours: float | None) -> list[tuple[str, str]]:
    """What was decided for one resolution."""
    network, recipe = stage.network, stage.recipe
    step = "" if stage.step_s is None else f", {stage.step_s:.3g} s a step"
    flips = f"axes {', '.join(map(str, stage.mirror_axes))}" if stage.mirror_axes else "none"
    flips += " with classes exchanged" if stage.mirror_swap else ""
    return [
        ("images", _by(stage.image_shape)),
        ("spacing", f"{_by(stage.spacing)}{', resampled' if stage.resample else ', as they are'}"),
        ("patch, batch", f"{_by(stage.patch)}, {stage.batch}"),
        ("net", f"{len(network.features)} stages, features {' '.join(map(str, network.features))}{_convolutions(network)}"),
        ("precision", stage.precision),
        ("flips, rotation", f"{flips}, up to {stage.rotation_degrees:g} degrees"),
        ("length, iterations", length_words(stage, hours) + step),
        ("recipe", f"{recipe.loss}, {recipe.optimizer} at {recipe.lr:g}, {recipe.schedule}"),
        *([("previous stage", stage.previous)] if stage.previous else []),
    ]


def _convolutions(network: Network) -> str:
    """Only where the decoder's are not the encoder's."""
    if network.kind != "unet" or network.blocks or network.decoder_convs is None:
        return ""
    return f", {network.convs} convolutions in each, {network.convs_up} in the decoder's"


def memory_rows(stage: Stage) -> list[tuple[str, str, float]]:
    """Part of the traced peak, GiB, share of the budget; the peak and the budget last."""
    memory = stage.memory
    budget = max(memory.budget_bytes, 1)
    rows = [(name, f"{size / GIB:.2f}", size / budget) for name, size in memory.parts.items()]
    rows.append(("peak", f"{memory.peak_bytes / GIB:.2f}", memory.peak_bytes / budget))
    return [*rows, ("budget", f"{memory.budget_bytes / GIB:.2f}", 1.0)]


def reasons(plan: Plan, stage: Stage) -> list[tuple[str, str]]:
    """Decision and why."""
    return [*plan.reasons.items(), *stage.reasons.items()]


def curves(run: Run) -> list[LineChart]:
    """A chart for each column of metrics.jsonl, a line for each fold."""
    charts = []
    for column, title, logarithmic in CURVES:
        series = {f"fold {fold.name}": _points(fold.curve, column) for fold in run.folds}
        chart = line_chart(title, series, logarithmic=logarithmic)
        if chart is not None:
            charts.append(chart)
    return charts


def _points(rows: Iterable[dict[str, Any]], column: str) -> list[tuple[float, float]]:
    pairs = [(row.get("iteration"), row.get(column)) for row in rows]
    return [(float(x), float(y)) for x, y in pairs if isinstance(x, int | float) and isinstance(y, int | float)]


def case_rows(found: Found) -> list[CaseRow]:
    """The held-out cases of the best run and the newest predictions; the worst first, what is unlabelled after what is labelled."""
    rows: list[CaseRow] = []
    groups = {case.name: case.group or "" for case in (found.dataset.train if found.dataset else ())}
    if found.runs:
        for fold in found.runs[0].scored:
            assert fold.summary is not None
            rows += _scored(fold.summary, f"fold{fold.name}", groups, len(rows))
    if (predicted := found.predicted) is not None:
        part = f"predictions/{predicted.folder.name}"
        known = predicted.summary.cases if predicted.summary is not None else {}
        rows += _scored(predicted.summary, part, {}, len(rows)) if predicted.summary is not None else []
        for one in predicted.files:
            if one.case not in known:
                rows.append(_unlabelled(one.case, part, predicted.expected.get(one.case, {}), len(rows)))
    return sorted(rows, key=lambda row: (row.dice is None, row.badness, row.name))


def _scored(summary: Summary, part: str, groups: dict[str, str], start: int) -> list[CaseRow]:
    rows = []
    for number, (case, classes) in enumerate(summary.cases.items(), start=start):
        dice = _defined(classes, "dice")
        lowest = min(dice, key=dice.__getitem__, default="")
        rows.append(
            CaseRow(
                number=number, name=case, part=part, group=summary.groups.get(case, groups.get(case, "")), dice=_mean(dice.values()),
                nsd=_mean(_defined(classes, "nsd").values()), expected=None, lowest=lowest, lowest_value=dice.get(lowest),
                classes={name: f"{value:.3f}" for name, value in dice.items()},
            )
        )  # fmt: skip
    return rows


def _unlabelled(case: str, part: str, expected: Expected, number: int) -> CaseRow:
    lowest = min(expected, key=lambda name: expected[name][0], default="")
    return CaseRow(
        number=number, name=case, part=part, group="", dice=None, nsd=None, expected=_mean(dice for dice, _, _ in expected.values()),
        lowest=lowest, lowest_value=expected[lowest][0] if lowest else None,
        classes={name: f"{dice:.2f} ({low:.2f} – {high:.2f})" for name, (dice, low, high) in expected.items()},
    )  # fmt: skip


def _defined(classes: dict[str, Scores], metric: str) -> dict[str, float]:
    return {name: value for name, scores in classes.items() if (value := scores.get(metric)) is not None}


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def _by(sizes: Sequence[float]) -> str:
    return " × ".join(f"{size:g}" for size in sizes)
