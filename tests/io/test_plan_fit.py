"""A plan for other data is named by what differs."""

import pytest

from autoseg.io.plan_fit import misfits
from autoseg.labels import LabelSpace
from tests import small

LABELS = LabelSpace(classes=tuple("abcdef"), exclusive=False)


@pytest.mark.parametrize(
    ("classes", "channels", "axes", "said"),
    [
        ("abcdef", 1, 2, []),
        ("abcdef", None, None, []),
        ("abcdefg", 1, 2, ["classes: 6 in the plan, 7 in the data; only in the data g"]),
        ("g", 1, 2, ["classes: 6 in the plan, 1 in the data; only in the plan a, b, c, d and 2 more, only in the data g"]),
        ("abdcef", 1, 2, ["classes: in another order; number 3 is c in the plan and d in the data"]),
        ("abcdef", 3, 3, ["channels: 1 in the plan, 3 in the data", "axes: 2 in the plan, 3 in the data"]),
    ],
)
def test_what_differs(classes: str, channels: int | None, axes: int | None, said: list[str]) -> None:
    assert misfits(small.plan(LABELS), classes=classes, num_channels=channels, num_axes=axes) == said
