"""Charts as numbers: where lines, boxes and cells lie in an SVG. The template draws them and escapes every text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Points = Sequence[tuple[float, float]]
#: Size of a line chart in its own units, and of its margins.
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420.0, 220.0, 56.0, 30.0, 10.0
#: A longer line is drawn through every n-th point.
MOST_POINTS = 400
#: Of a box plot.
ROW, BOX_LEFT, BOX_WIDTH = 20.0, 150.0, 640.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series; `number` picks its colour and dashes."""

    label: str
    number: int
    points: str


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """Ticks are (position, text)."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    bottom: float = HEIGHT - BOTTOM


def line_chart(title: str, series: Mapping[str, Points], *, logarithmic: bool = False) -> LineChart | None:
    """Lines over a common range; None without two finite points.

    Parameters
    ----------
    title : str
    series : mapping of label -> sequence of (x, y)
        Points that are not finite, and of logarithmic charts not positive, are left out.
    logarithmic : bool
        Of y.
    """
    kept = {label: [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not logarithmic)] for label, points in series.items()}
    numbers = {label: k for k, label in enumerate(kept)}
    kept = {label: points for label, points in kept.items() if points}
    if sum(map(len, kept.values())) < 2:
        return None
    xs, ys = (np.array([point[axis] for points in kept.values() for point in points]) for axis in (0, 1))
    scale = np.log10 if logarithmic else np.asarray
    x_range, y_range = _range(xs), _range(scale(ys))

    def place(x: float, y: float) -> str:
        across = LEFT + (x - x_range[0]) / (x_range[1] - x_range[0]) * (WIDTH - LEFT - 12)
        up = (float(scale(np.float64(y))) - y_range[0]) / (y_range[1] - y_range[0])
        return f"{across:.1f},{HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP):.1f}"

    lines = [
        Line(label=label, number=numbers[label], points=" ".join(place(x, y) for x, y in thin(points))) for label, points in kept.items()
    ]
    x_ticks = [(float(place(x, ys[0]).split(",")[0]), f"{x:g}") for x in ticks(*x_range)]
    y_values = [10**y for y in ticks(*y_range, num=4)] if logarithmic else ticks(*y_range, num=4)
    y_ticks = [(float(place(xs[0], y).split(",")[1]), f"{y:.3g}") for y in y_values]
    return LineChart(title=title, lines=tuple(lines), x_ticks=tuple(x_ticks), y_ticks=tuple(y_ticks))


def thin(points: Points) -> Points:
    """At most `MOST_POINTS` of them, the last one always."""
    step = math.ceil(len(points) / MOST_POINTS)
    return [*points[: len(points) - 1 : step], points[-1]]


def ticks(low: float, high: float, num: int = 5) -> list[float]:
    """Round numbers in a range, about `num`: 1, 2 or 5 times a power of ten apart.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / num
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [round(k * step, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _range(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = max((high - low) * 0.02, abs(high) * 1e-3, 1e-9)
    return low - margin, high + margin


@dataclass(frozen=True, kw_only=True)
class Box:
    """A row of a box plot; positions along x."""

    label: str
    middle: float
    low: float
    first: float
    median: float
    third: float
    high: float
    outliers: tuple[float, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class BoxPlot:
    """Rows below each other."""

    title: str
    boxes: tuple[Box, ...]
    x_ticks: tuple[tuple[float, str], ...]
    height: float
    width: float = BOX_WIDTH
    left: float = BOX_LEFT


def box_plot(title: str, rows: Mapping[str, Sequence[float]], ends: tuple[float, float] | None = None) -> BoxPlot | None:
    """Median, quartiles, whiskers to the farthest value within 1.5 interquartile ranges (Tukey), and what lies beyond.

    Parameters
    ----------
    title : str
    rows : mapping of label -> values
        Rows without values are left out; None without any.
    ends : (float, float), optional
        Of the axis; else what the values span.
    """
    kept = {label: np.asarray(values, np.float64) for label, values in rows.items() if len(values)}
    if not kept:
        return None
    low, high = ends if ends is not None else _range(np.concatenate(list(kept.values())))

    def place(value: float) -> float:
        return round(BOX_LEFT + (min(max(value, low), high) - low) / (high - low) * (BOX_WIDTH - BOX_LEFT - 16), 1)

    boxes = []
    for k, (label, values) in enumerate(kept.items()):
        first, median, third = (float(q) for q in np.percentile(values, (25, 50, 75)))
        reach = 1.5 * (third - first)
        inside = values[(values >= first - reach) & (values <= third + reach)]
        outside = values[(values < first - reach) | (values > third + reach)]
        five = [place(float(value)) for value in (inside.min(), first, median, third, inside.max())]
        words = f"{label}: median {median:.3g}, quartiles {first:.3g} and {third:.3g}, from {values.min():.3g} to {values.max():.3g}"
        boxes.append(
            Box(
                label=label, middle=(k + 0.5) * ROW + 4, low=five[0], first=five[1], median=five[2], third=five[3], high=five[4],
                outliers=tuple(place(float(value)) for value in outside), words=f"{words}, {len(values)} values",
            )
        )  # fmt: skip
    marks = tuple((place(tick), f"{tick:g}") for tick in ticks(low, high))
    return BoxPlot(title=title, boxes=tuple(boxes), x_ticks=marks, height=len(boxes) * ROW + 28)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Shares in percent; `strength` is what is painted, 0 to 1."""

    row: int
    column: int
    strength: float
    words: str


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A square of classes; empty cells are left out."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


def overlap_map(classes: Sequence[str], overlap: Sequence[Sequence[int]]) -> HeatMap:
    """How much of the class of the row lies in the class of the column, too; the diagonal is left out.

    Parameters
    ----------
    classes : sequence of str
    overlap : (K, K) pixels that two classes share, the diagonal being each class's area
    """
    cells = []
    for i, row in enumerate(overlap):
        for j, shared in enumerate(row):
            if i != j and shared and row[i]:
                share = shared / row[i]
                words = f"{share:.2%} of {classes[i]} lies in {classes[j]}, too"
                # The root makes small overlaps visible: most pairs share a few percent.
                cells.append(Cell(row=i, column=j, strength=round(math.sqrt(share), 3), words=words))
    return HeatMap(labels=tuple(classes), cells=tuple(cells))
