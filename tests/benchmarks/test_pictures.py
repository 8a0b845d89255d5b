"""The pictures of README.md and docs/."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import browser, pictures


def test_an_overlay_blends_each_mask_once() -> None:
    image = np.full((2, 2), 0.5)
    masks = np.zeros((3, 2, 2), np.bool_)
    masks[0, 0, 0] = masks[1, 0, 1] = masks[2, 0, 1] = True
    drawn = pictures.overlay(image, masks)
    assert drawn.shape == (2, 2, 3)
    np.testing.assert_array_equal(drawn[1], 0.5)
    assert not np.allclose(drawn[0, 0], 0.5)
    assert not np.allclose(drawn[0, 0], drawn[0, 1])
    assert 0 <= drawn.min() <= drawn.max() <= 1
    # 0.55 of the grey and 0.45 of a full colour.
    one = pictures.overlay(image, masks[:1])[0, 0]
    assert set(np.round(one, 3)) <= {0.275, 0.725}


def test_without_a_browser_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.find_chromium() is None
    with pytest.raises(FileNotFoundError, match="apt install chromium chromium-driver"):
        browser.open_chromium()
    monkeypatch.setattr(pictures, "draw_prediction", lambda place, name: None)
    with pytest.raises(SystemExit, match="The pictures of the report are left as they are: Chromium and its driver are not here"):
        pictures.main(tmp_path, None)


def test_the_pictures_are_small_and_all_shown(root: Path) -> None:
    files = sorted((root / "docs/images").glob("*.png"))
    assert sum(file.stat().st_size for file in files) < 500_000
    pages = "".join(page.read_text(encoding="utf-8") for page in (root / "docs").glob("*.md"))
    assert [file.name for file in files if f"images/{file.name}" not in pages] == []
