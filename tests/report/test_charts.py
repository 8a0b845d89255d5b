"""Where lines, boxes and cells lie."""

import pytest

from autoseg.report.charts import BOX_LEFT, BOX_WIDTH, LEFT, MOST_POINTS, box_plot, line_chart, overlap_map, thin, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 10.0, [0, 2, 4, 6, 8, 10]), (0.13, 0.61, [0.2, 0.3, 0.4, 0.5, 0.6]), (-40.0, 60.0, [-40, -20, 0, 20, 40, 60])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_rising_line_rises() -> None:
    chart = line_chart("Dice", {"fold 0": [(0, 0.0), (10, 1.0)], "fold 1": [(5, 0.5)]})
    assert chart is not None
    first, second = ([tuple(map(float, point.split(","))) for point in line.points.split()] for line in chart.lines)
    assert first[0][0] < second[0][0] < first[1][0]
    assert first[0][1] > second[0][1] > first[1][1]  # y points down in an SVG
    assert second[0] == pytest.approx(((first[0][0] + first[1][0]) / 2, (first[0][1] + first[1][1]) / 2), abs=0.1)
    assert all(x >= LEFT for x, _ in first)


def test_decades_are_equally_far_apart() -> None:
    chart = line_chart("rate", {"fold 0": [(0, 1e-1), (1, 1e-2), (2, 1e-3), (3, 0.0)]}, logarithmic=True)
    assert chart is not None
    heights = [float(point.split(",")[1]) for point in chart.lines[0].points.split()]
    assert len(heights) == 3  # a rate of 0 has no logarithm
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.11)


@pytest.mark.parametrize("points", [[], [(1, 0.5)], [(1, float("nan")), (2, float("inf"))]])
def test_nothing_to_draw(points: list[tuple[float, float]]) -> None:
    assert line_chart("loss", {"fold 0": points}) is None


def test_equal_values_still_have_a_range() -> None:
    assert line_chart("loss", {"fold 0": [(1, 0.0), (1, 0.0)]}) is not None


@pytest.mark.parametrize("num", [1, MOST_POINTS, MOST_POINTS + 1, 10 * MOST_POINTS + 7])
def test_long_lines_are_thinned_and_keep_their_ends(num: int) -> None:
    points = [(float(k), 0.0) for k in range(num)]
    kept = thin(points)
    assert len(kept) <= MOST_POINTS + 1
    assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_a_box_has_its_quartiles_and_whiskers() -> None:
    values = [0.0, 0.5, 0.6, 0.7, 0.8]  # quartiles 0.5 and 0.7: 0.0 lies beyond 0.5 - 1.5 * 0.2
    plot = box_plot("Dice", {"a": values, "b": []}, (0.0, 1.0))
    assert plot is not None
    (box,) = plot.boxes
    width = BOX_WIDTH - BOX_LEFT - 16
    assert [box.low, box.first, box.median, box.third, box.high] == pytest.approx(
        [BOX_LEFT + width * value for value in (0.5, 0.5, 0.6, 0.7, 0.8)], abs=0.06
    )
    assert box.outliers == pytest.approx([BOX_LEFT])
    assert box_plot("Dice", {"a": []}) is None


def test_overlap_is_a_share_of_the_row() -> None:
    cells = overlap_map(("small", "large", "absent"), ((10, 5, 0), (5, 500, 0), (0, 0, 0))).cells
    assert [(cell.row, cell.column) for cell in cells] == [(0, 1), (1, 0)]
    assert [cell.strength**2 for cell in cells] == pytest.approx([0.5, 0.01], rel=0.01)
    assert cells[0].words == "50.00% of small lies in large, too"
