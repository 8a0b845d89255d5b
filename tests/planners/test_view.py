"""How much of an image a patch must show."""

from dataclasses import replace

import pytest

from autoseg.planners.view import View, needed_view, shown, shows_enough
from tests.planners.sets import described, whole


def test_look_alikes_ask_for_twice_the_window_that_tells_them_apart() -> None:
    view = needed_view(described(images=10, size=64, classes=5, alike=3, needed=0.25))
    assert (view.share, view.measured) == (0.5, True)
    assert "3 of 5 classes have look-alikes" in view.reason
    assert "25%" in view.reason
    assert needed_view(described(images=10, size=64, classes=5, alike=3, needed=0.75)).share == 1.0


def test_without_look_alikes_any_patch_will_do() -> None:
    assert needed_view(described(images=10, size=64, classes=5)).share == 0.0


def test_what_was_not_measured_is_a_wish_for_the_whole() -> None:
    facts = described(images=10, size=64, classes=5)
    for unknown in (replace(facts, context=None), described(images=10, size=64, classes=5, alike=2)):
        view = needed_view(unknown)
        assert (view.share, view.measured) == (1.0, False)


@pytest.mark.parametrize(("patch", "share"), [((64, 64), 1.0), ((32, 64), 0.5), ((16, 32), 0.25)])
def test_what_a_patch_shows(patch: tuple[int, int], share: float) -> None:
    stage = replace(whole((64, 64)), patch=patch)
    assert shown(stage) == share
    assert shows_enough(stage, View(share=share, measured=True, reason=""))
    assert not shows_enough(stage, View(share=share + 0.01, measured=True, reason=""))


def test_a_patch_larger_than_the_image_shows_all_of_it() -> None:
    assert shown(whole((100, 60))) == 1.0
