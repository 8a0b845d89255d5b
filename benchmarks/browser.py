"""Chromium without a display, for pictures of the report and for its tests."""

from __future__ import annotations

import shutil

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

#: What is missing, and from where.
ABSENT = "Chromium and its driver are not here: apt install chromium chromium-driver"


def find_chromium() -> tuple[str, str] | None:
    """Paths of the browser and of its driver; None if one of them is not installed."""
    browser = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return None if browser is None or driver is None else (browser, driver)


def open_chromium(size: tuple[int, int] = (1280, 900)) -> webdriver.Chrome:
    """A browser whose console can be read.

    Raises
    ------
    FileNotFoundError
        Saying what to install.
    """
    found = find_chromium()
    if found is None:
        raise FileNotFoundError(ABSENT)
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={size[0]},{size[1]}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(found[1]))
