"""Wrong or unusual data sets: folders, names and dataset.json."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.badinput.bad import BadData
from tests.badinput.images import DECLARED, declared
from tests.io.make import RAMP, make_maps, square, write_json, write_picture


def described(content: object) -> Callable[[Path], object]:
    """dataset.json with this content."""
    return lambda root: write_json(declared(root) / "dataset.json", content)


def text(data: bytes) -> Callable[[Path], object]:
    """dataset.json as these bytes."""
    return lambda root: (declared(root) / "dataset.json").write_bytes(data)


def named(name: str) -> Callable[[Path], object]:
    """case1 under another name."""

    def make(root: Path) -> None:
        for part in ("imagesTr", "labelsTr"):
            (declared(root) if part == "imagesTr" else root).joinpath(part, "case1.png").rename(root / part / f"{name}.png")

    return make


def image_twice(root: Path) -> None:
    write_picture(declared(root) / "imagesTr/case1.bmp", RAMP)


def no_images(root: Path) -> None:
    (root / "imagesTr").mkdir(parents=True)


def no_labels(root: Path) -> None:
    shutil.rmtree(declared(root) / "labelsTr")


def photos_only(root: Path) -> None:
    write_picture(root / "case1.png", RAMP)


def a_file(root: Path) -> None:
    root.write_text("no folder", encoding="utf-8")


def hidden_files(root: Path) -> None:
    for name in ("imagesTr/.DS_Store", "imagesTr/._case1.png", "labelsTr/Thumbs.db", "imagesTr/notes.txt"):
        (declared(root) / name).write_bytes(b"\0\1\2")


def channel_missing(root: Path) -> None:
    for k in range(3):
        for c in range(2):
            write_picture(root / f"imagesTr/case{k}_{c:04d}.png", RAMP)
        write_picture(root / f"labelsTr/case{k}.png", square())
    (root / "imagesTr/case1_0001.png").unlink()
    write_json(root / "dataset.json", {"labels": DECLARED, "channel_names": {"0": "a", "1": "b"}, "file_ending": ".png"})


def one_case(root: Path) -> None:
    make_maps(root, DECLARED, cases=1)


def linked_folder(root: Path) -> None:
    folder = declared(root) / "imagesTr"
    folder.rename(root / "elsewhere")
    folder.symlink_to(root / "elsewhere")


JSON = "dataset.json"
DATASETS: list[BadData] = [
    BadData(what="empty folder", make=Path.mkdir, said="is empty. A data set is a folder with one of:", code=2),
    BadData(what="folder of images alone", make=photos_only, said="holds no data set in a known layout", code=2),
    BadData(what="no folder", make=a_file, said="no such data set in", code=2),
    BadData(what="no images", make=no_images, file="imagesTr", said="holds no images"),
    BadData(what="no labels", make=no_labels, file="labelsTr", said="holds no labels"),
    BadData(what="two images of one name", make=image_twice, file="imagesTr/case1.png", said="the name 'case1' is taken by"),
    BadData(what="name with spaces", make=named("a hand  of Ann"), said="No problems.", code=0),
    BadData(what="Korean name", make=named("왼손 사진"), said="No problems.", code=0),
    BadData(what="name with a newline", make=named("left\nhand"), said="No problems.", code=0),
    BadData(what="name of bytes that are no text", make=named(os.fsdecode(b"ca\xffse")), said="its name is no UTF-8 text; rename the file"),
    BadData(what="name that begins with a dash", make=named("-rf"), said="No problems.", code=0),
    BadData(what="name that is HTML", make=named("<img onerror=alert(1)>"), said="No problems.", code=0),
    BadData(what="name of 210 bytes", make=named("ab" * 105), said="takes 210 bytes as a file name; shorten it to 200"),
    BadData(what="hidden files and notes among the images", make=hidden_files, said="No problems.", code=0),
    BadData(what="folder of images that is a link", make=linked_folder, said="No problems.", code=0),
    BadData(
        what="a channel's file missing", make=channel_missing,
        file="imagesTr/case1", said="expected one for each channel: _0000, _0001",
    ),
    BadData(what="dataset.json: a comma too many", make=text(b'{"labels": {"x": 1,}}'), file=JSON, said="is not valid JSON"),
    BadData(what="dataset.json: 0 bytes", make=text(b""), file=JSON, said="is not valid JSON"),
    BadData(what="dataset.json: nested 100,000 deep", make=text(b"[" * 100_000), file=JSON, said="nested too deeply"),
    BadData(what="dataset.json: not UTF-8", make=text(b'{"labels": "\xff"}'), file=JSON, said="is no UTF-8 text"),
    BadData(what="dataset.json: a list", make=described([1]), file=JSON, said="must hold an object"),
    BadData(
        what="dataset.json: a label of 1.5", make=described({"labels": {"x": 1.5}}),
        file=JSON, said="labels: 'x' must have a whole number from 0, or a list of them, got 1.5",
    ),
    BadData(
        what="dataset.json: two names for a value", make=described({"labels": {"x": 1, "y": 1}}),
        file=JSON, said="two names share a value",
    ),
    BadData(
        what="dataset.json: no class but the background", make=described({"labels": {"background": 0}}),
        file=JSON, said="must name at least one class besides the background",
    ),
    BadData(
        what="dataset.json: spacing in words", make=described({"labels": DECLARED, "spacing": "1 mm"}),
        file=JSON, said="spacing: must be a valid list",
    ),
    BadData(
        what="dataset.json: negative spacing", make=described({"labels": DECLARED, "spacing": [1, -1]}),
        file=JSON, said="spacing.1: must be greater than 0, got -1",
    ),
    BadData(
        what="dataset.json: infinite spacing", make=described({"labels": DECLARED, "spacing": [1, float("inf")]}),
        file=JSON, said="spacing.1: must be a finite number",
    ),
    BadData(
        what="dataset.json: spacing of 3 axes for images", make=described({"labels": DECLARED, "spacing": [1, 1, 1]}),
        file="imagesTr/case1.png", said="has 2 axes, and dataset.json gives a spacing of 3",
    ),
    BadData(
        what="dataset.json: a group of nobody", make=described({"labels": DECLARED, "groups": {"nobody": "p1"}}),
        file=JSON, said="groups: there is no case 'nobody'",
    ),
    BadData(
        what="dataset.json: a file_ending that no image has", make=described({"labels": DECLARED, "file_ending": ".nii.gz"}),
        file="imagesTr", said="holds no images that end in .nii.gz, as dataset.json says (file_ending); there are .png",
    ),
    BadData(
        what="dataset.json: more cases than there are", make=described({"labels": DECLARED, "numTraining": 9}),
        file=JSON, said="numTraining is 9, imagesTr holds 3 cases",
    ),
]  # fmt: skip
