"""Large tif files: mapped where they lie as arrays do, read otherwise, with the same pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from autoseg.io import tif


@pytest.mark.parametrize(
    ("shape", "options", "is_mapped"),
    [
        ((33, 20), {}, True),
        ((7, 33, 20), {"imagej": True}, True),
        ((33, 20), {"byteorder": ">"}, False),
        ((33, 20), {"compression": "zlib"}, False),
        ((64, 64), {"tile": (16, 16)}, False),
    ],
)
def test_pixels_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], options: dict[str, Any], is_mapped: bool
) -> None:
    expected = np.random.default_rng(0).integers(0, 60000, shape, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", expected, **options)
    monkeypatch.setattr(tif, "LARGE", 0)
    found = tif.read_tif(tmp_path / "a.tif").array
    np.testing.assert_array_equal(found.reshape(shape), expected)
    below: Any = found
    while below is not None and not isinstance(below, np.memmap):
        below = below.base if isinstance(below, np.ndarray) else None
    assert (below is not None) == is_mapped
