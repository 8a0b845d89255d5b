"""The report in a real browser: clicked through, without an error on its console, each overlay seen in the canvas's pixels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from autoseg.demo import write_phantom
from autoseg.io.cases import read_case
from autoseg.io.layouts import read_dataset
from autoseg.io.names import escape_name
from autoseg.io.palette import palette
from autoseg.report import write_report
from autoseg.workspace import Workspace
from benchmarks.browser import open_chromium
from tests.io.make import write_json, write_picture
from tests.report.make import CLASSES, EVIL_CASE, SIZE, make_workspace

pytestmark = pytest.mark.browser
OVERLAYS = ("show-image", "show-truth", "show-pred", "show-errors")
FALSE_POSITIVE, FALSE_NEGATIVE = (255, 127, 14), (61, 165, 255)
WAIT_S = 10


class Window:
    """A page in Chromium."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def load(self, path: Path) -> None:
        self.driver.get(path.as_uri())

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def wait(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.driver, WAIT_S).until(lambda _: condition())

    def open_case(self, number: str) -> None:
        """Click a case in the table and wait for its picture."""
        self.find(f'#table button[data-case="{number}"]').click()
        self.wait(lambda: self.find("#canvas").get_attribute("data-case") == number)

    def shot(self) -> str:
        """The canvas as it is."""
        return str(self.script("return document.getElementById('canvas').toDataURL()"))

    def pixel(self, y: int, x: int, size: int = SIZE) -> tuple[int, ...]:
        """Red, green, blue and opacity in the middle of a pixel of a square image that is shown whole."""
        return tuple(
            self.script(
                "const c = document.getElementById('canvas'), s = Math.min(c.width, c.height) / arguments[2];"
                "const at = (full, k) => (full - s * arguments[2]) / 2 + (k + 0.5) * s;"
                "return [...c.getContext('2d').getImageData(at(c.width, arguments[1]), at(c.height, arguments[0]), 1, 1).data]",
                y, x, size,
            )
        )  # fmt: skip

    def set(self, name: str, value: bool) -> None:
        box = self.find(f"#{name}")
        if box.is_selected() != value:
            box.click()

    def slide(self, name: str, value: int) -> None:
        self.script("const e = arguments[0]; e.value = arguments[1]; e.dispatchEvent(new Event('input'))", self.find(f"#{name}"), value)

    def press(self, key: str) -> None:
        self.driver.switch_to.active_element.send_keys(key)

    def console(self) -> list[str]:
        said = [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        # Advice about `pixel`, which is the test's own.
        return [message for message in said if "willReadFrequently" not in message]


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    driver = open_chromium()
    yield driver
    driver.quit()


@pytest.fixture
def window(driver: webdriver.Chrome) -> Iterator[Window]:
    """Whatever a test does, the console stays empty and nothing injected has run."""
    made = Window(driver)
    made.console()
    yield made
    assert made.console() == []
    made.script("return 1")  # raises while an alert is open


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = make_workspace(tmp_path_factory.mktemp("evil"))
    return write_report(place, "Evil", place.raw / "Evil", place.report_file("Evil"), pictures=100).path


def numbers(window: Window) -> list[str]:
    return [str(button.get_attribute("data-case")) for button in window.driver.find_elements(By.CSS_SELECTOR, "#table button.open")]


def test_names_are_shown_and_do_nothing(window: Window, evil: Path) -> None:
    window.load(evil)
    assert window.find('#table button[data-case="0"]').text == EVIL_CASE
    window.open_case("0")
    assert window.find("#viewer-title").text == EVIL_CASE
    assert "fold0, Dice 0.850" in window.find("#viewer-words").text
    labels = [item.text for item in window.driver.find_elements(By.CSS_SELECTOR, "#classes li")]
    assert [label.splitlines()[0] for label in labels] == ["1.000", "0.700"]
    assert "1 </script><script>alert(2)</script>" in labels[0]
    assert "2 a & b" in labels[1]


def test_each_overlay_is_seen(window: Window, evil: Path) -> None:
    window.load(evil)
    window.open_case("1")
    for name in OVERLAYS:
        before = window.shot()
        window.find(f"#{name}").click()
        assert window.shot() != before, name
        window.find(f"#{name}").click()
        assert window.shot() == before, name
    for box in window.driver.find_elements(By.CSS_SELECTOR, "#classes input"):
        before = window.shot()
        box.click()
        assert window.shot() != before
        box.click()
        assert window.shot() == before


def test_colours_of_the_prediction_and_of_errors(window: Window, evil: Path) -> None:
    window.load(evil)
    window.open_case("1")
    for name in OVERLAYS:
        window.set(name, False)
    assert window.pixel(8, 10) == (0, 0, 0, 0)
    window.set("show-pred", True)
    window.slide("opacity", 100)
    order = sorted(CLASSES)
    first, second = (palette(2)[order.index(name)] for name in CLASSES)
    assert window.pixel(8, 10) == (*first, 255)
    assert window.pixel(20, 20) == (*second, 255)
    # Both classes: the mean of their colours.
    assert window.pixel(14, 14) == pytest.approx((*((a + b) / 2 for a, b in zip(first, second, strict=True)), 255), abs=1)
    assert window.pixel(8, 5) == (0, 0, 0, 0)
    window.set("show-pred", False)
    window.set("show-errors", True)
    assert window.pixel(8, 5) == (*FALSE_NEGATIVE, 255)
    assert window.pixel(8, 17) == (*FALSE_POSITIVE, 255)
    assert window.pixel(8, 10) == (0, 0, 0, 0)
    assert window.pixel(20, 20) == (0, 0, 0, 0)
    window.find(f"#classes li:nth-child({order.index(CLASSES[0]) + 1}) input").click()
    assert window.pixel(8, 17) == (0, 0, 0, 0)
    window.find("#all").click()
    assert window.pixel(8, 17) == (*FALSE_POSITIVE, 255)


def test_outlines_run_along_the_truth(window: Window, evil: Path) -> None:
    window.load(evil)
    window.open_case("1")
    for name in OVERLAYS:
        window.set(name, name == "show-truth")
    found = window.script(
        "const c = document.getElementById('canvas'), s = Math.min(c.width, c.height) / 32, all = c.getContext('2d');"
        "const line = (x0, x1, y) => [...all.getImageData((c.width - 32 * s) / 2 + x0 * s, (c.height - 32 * s) / 2 + y * s,"
        " (x1 - x0) * s, 1).data].filter((value, k) => k % 4 === 3 && value > 0).length;"
        "return [line(0, 32, 8.5), line(3.5, 4.5, 8.5), line(15.5, 16.5, 8.5), line(0, 32, 2.5)]"
    )
    assert found[1] > 0
    assert found[2] > 0
    assert found[0] == found[1] + found[2]
    assert found[3] == 0


def test_the_keyboard_is_enough(window: Window, evil: Path) -> None:
    window.load(evil)
    order = numbers(window)
    window.script("document.querySelector('#table button.open').focus()")
    window.press(Keys.ENTER)
    window.wait(lambda: window.find("#canvas").get_attribute("data-case") == order[0])
    for key, name in (("i", "show-image"), ("t", "show-truth"), ("p", "show-pred"), ("e", "show-errors")):
        was = window.find(f"#{name}").is_selected()
        window.press(key)
        assert window.find(f"#{name}").is_selected() != was
    window.press(Keys.ARROW_RIGHT)
    window.wait(lambda: window.find("#canvas").get_attribute("data-case") == order[1])
    window.press("+")
    assert window.find("#zoom").text == "150 %"
    window.press("0")
    assert window.find("#zoom").text == "100 %"
    window.press(Keys.ESCAPE)
    window.wait(lambda: not window.find("#viewer").is_displayed())


def test_opacity_and_zoom_change_the_picture(window: Window, evil: Path) -> None:
    window.load(evil)
    window.open_case("1")
    before = window.shot()
    window.slide("opacity", 90)
    bolder = window.shot()
    window.find("#closer").click()
    assert len({before, bolder, window.shot()}) == 3
    window.find("#whole").click()
    assert window.shot() == bolder


def test_the_classes_under_the_pointer_are_named(window: Window, evil: Path) -> None:
    window.load(evil)
    window.open_case("1")
    canvas = window.find("#canvas")
    scale = min(canvas.rect["width"], canvas.rect["height"]) / SIZE

    def at(y: int, x: int) -> str:
        across, down = (round((k + 0.5 - SIZE / 2) * scale) for k in (x, y))
        ActionChains(window.driver).move_to_element_with_offset(canvas, across, down).perform()
        return window.find("#here").text

    assert at(8, 5) == f"truth: {CLASSES[0]}; prediction: nothing"
    assert at(8, 17) == f"truth: nothing; prediction: {CLASSES[0]}"
    assert at(20, 20).count("alert(2)") == 2
    assert at(2, 2) == "truth: nothing; prediction: nothing"


def test_an_unlabelled_case_has_no_truth_to_show(window: Window, evil: Path) -> None:
    window.load(evil)
    window.open_case("3")
    assert not window.find("#show-truth").is_enabled()
    assert not window.find("#show-errors").is_enabled()
    assert window.find("#show-pred").is_enabled()
    assert "expected Dice 0.600" in window.find("#viewer-words").text


def test_the_table_sorts(window: Window, evil: Path) -> None:
    window.load(evil)
    dice = next(head for head in window.driver.find_elements(By.CSS_SELECTOR, "#table th button") if head.text == "Dice")
    assert numbers(window) == ["1", "0", "2", "3"]
    dice.click()
    assert numbers(window) == ["2", "0", "1", "3"]  # what has no Dice stays at the end
    dice.click()
    assert numbers(window) == ["1", "0", "2", "3"]
    window.find("#table th button").click()
    assert numbers(window)[0] == "0"


def background(window: Window) -> str:
    return str(window.script("return getComputedStyle(document.body).backgroundColor"))


def test_dark_and_light(window: Window, evil: Path) -> None:
    emulate = window.driver.execute_cdp_cmd
    for scheme, colour, other in (("light", "rgb(255, 255, 255)", "rgb(21, 23, 26)"), ("dark", "rgb(21, 23, 26)", "rgb(255, 255, 255)")):
        emulate("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        window.load(evil)
        assert background(window) == colour
        window.find("#theme").click()
        assert background(window) == other
    emulate("Emulation.setEmulatedMedia", {"features": []})


def test_on_a_phone_nothing_is_cut_off(window: Window, evil: Path) -> None:
    screen = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        window.load(evil)
        assert window.script("return document.documentElement.scrollWidth") <= 390
        window.open_case("1")
        canvas = window.find("#canvas").rect
        assert canvas["x"] >= 0
        assert 300 < canvas["width"] <= 390
        assert canvas["height"] > 300
    finally:
        window.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def fake_run(place: Workspace, name: str) -> Path:
    """A run of a real data set that predicted its first two cases a few pixels too far right; the report of it."""
    dataset = read_dataset(place.raw / name)
    folder = place.run_folder(name, "default", "2d", "default") / "fold0"
    cases = {}
    for case in dataset.train[:2]:
        loaded = read_case(dataset, case)
        assert loaded.labels is not None
        out = folder / "validation"
        if loaded.labels.codes.ndim == 2:
            for k, one in enumerate(dataset.classes):
                moved = np.roll(loaded.labels.mask(k), 5, axis=1)
                write_picture(out / escape_name(case.name) / f"{escape_name(one)}.png", moved.astype(np.uint8) * 255)
        else:
            assert case.truth is not None
            labels = sitk.ReadImage(str(case.truth.files[0]))
            volume = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(labels), 2, axis=2))
            volume.CopyInformation(labels)
            out.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(volume, str(out / f"{escape_name(case.name)}.nii.gz"))
        cases[case.name] = {one: {"dice": 0.5} for one in dataset.classes}
    write_json(folder / "summary.json", {"mean": {"dice": 0.5}, "classes": {}, "cases": cases})
    return write_report(place, name, place.raw / name, place.report_file(name), pictures=100).path


def see_overlays(window: Window, report: Path) -> None:
    """Open both cases and toggle every overlay."""
    window.load(report)
    order = numbers(window)
    assert len(order) == 2
    for number in order:
        window.open_case(number)
        for name in OVERLAYS:
            before = window.shot()
            window.find(f"#{name}").click()
            assert window.shot() != before, name
            window.find(f"#{name}").click()
        window.find("#close").click()


def test_the_phantom(window: Window, tmp_path: Path) -> None:
    place = Workspace(root=tmp_path)
    write_phantom(tmp_path, people=2, size=96, workers=1)
    see_overlays(window, fake_run(place, "HandBone"))


@pytest.mark.parametrize("name", ["VNC", "Dataset004_Hippocampus"])
def test_real_data(window: Window, tmp_path: Path, shared_data: Path, name: str) -> None:
    place = Workspace(root=tmp_path)
    place.raw.mkdir()
    (place.raw / name).symlink_to(shared_data / name)
    see_overlays(window, fake_run(place, name))
    if name == "VNC":
        return
    window.open_case(numbers(window)[0])
    before = window.shot()
    window.press("]")
    assert window.shot() != before
    window.press("[")
    assert window.shot() == before
