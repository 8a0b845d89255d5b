"""The pictures in README.md and docs/: a test image of the phantom with its predicted bones, and what its report shows of it.

Usage: python -m benchmarks.pictures WORKSPACE [CASE]; the workspace holds raw/HandBone, results/HandBone/predictions/ensemble and
results/HandBone/report.html, as `make demo` and docs/tutorial.md leave them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from autoseg.case import Case
from autoseg.io.images import decode_file
from autoseg.io.layouts import read_dataset
from autoseg.io.names import escape_name
from autoseg.workspace import Workspace
from benchmarks.browser import ABSENT, find_chromium, open_chromium

OUT = Path(__file__).parents[1] / "docs" / "images"
WAIT_S = 20


def main(root: Path, name: str | None) -> None:
    """Draw the prediction, and take pictures of the report."""
    place = Workspace(root=root)
    draw_prediction(place, name)
    if find_chromium() is None:
        sys.exit(f"The pictures of the report are left as they are: {ABSENT}")
    take_pictures(place.report_file("HandBone"))


def take_pictures(report: Path) -> None:
    """Screenshots of the page's sections and of its worst case."""
    driver = open_chromium((1180, 960))
    try:
        driver.get(report.resolve().as_uri())
        for section, picture in shots(driver):
            file = OUT / f"report-{section}.png"
            Image.open(BytesIO(picture)).convert("RGB").save(file, optimize=True)
            print(f"{file}: {file.stat().st_size // 1024} KB")
    finally:
        driver.quit()


def shots(driver: webdriver.Chrome) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of each picture."""
    for section in ("data", "training", "scores"):
        driver.execute_script("document.getElementById(arguments[0]).scrollIntoView()", section)
        yield section, driver.get_screenshot_as_png()
    first = driver.find_element(By.CSS_SELECTOR, "#table button.open")
    first.click()
    canvas = driver.find_element(By.CSS_SELECTOR, "#canvas")
    WebDriverWait(driver, WAIT_S).until(lambda _: canvas.get_attribute("data-case") == first.get_attribute("data-case"))
    yield "case", driver.get_screenshot_as_png()


def draw_prediction(place: Workspace, name: str | None) -> None:
    """One case: the image, and the image with every bone in its colour."""
    raw = read_dataset(place.raw / "HandBone")
    case = next(case for case in raw.test if name in (None, case.name))
    image = decode_file(case.images[0]).array[0].astype(np.float64)
    image /= image.max()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.6), facecolor="black")
    left.imshow(image, cmap="gray", vmin=0, vmax=1)
    right.imshow(overlay(image, masks(case, raw.classes, place.predictions("HandBone") / "ensemble")))
    for axes in (left, right):
        axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0)
    OUT.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT / "prediction.png", dpi=110)
    print(f"{OUT / 'prediction.png'}: {case.name}")


def masks(case: Case, classes: tuple[str, ...], out: Path) -> NDArray[np.bool_]:
    """The predicted masks, (K, y, x)."""
    files = [out / escape_name(case.name) / f"{escape_name(name)}.png" for name in classes]
    return np.stack([decode_file(file).array[0] > 0 for file in files])


def overlay(image: NDArray[np.float64], found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Colours blended over the grey image, overlaps brighter; (y, x, 3) in [0, 1]."""
    colours = colormaps["hsv"](np.linspace(0, 1, len(found), endpoint=False))[:, :3]
    rng = np.random.default_rng(3)
    colours = colours[rng.permutation(len(found))]  # neighbours in the list are neighbours in the hand
    out = np.repeat(image[..., None], 3, axis=2)
    for mask, colour in zip(found, colours, strict=True):
        out[mask] = 0.55 * out[mask] + 0.45 * colour
    return np.clip(out, 0, 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
