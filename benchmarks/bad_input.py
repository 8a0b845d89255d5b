"""The same bad input given to nnU-Net and to autoseg: exit code, seconds, and what is said last, as a table in Markdown.

    python -m benchmarks.bad_input --nnunet VENV [--only NAME] > table.md

VENV is a virtual environment with nnunetv2. Data sets are 8 images of 64 x 64 in nnU-Net's own raw layout, which both read as it is. Each
gets nnU-Net's planning as it is started by default and with its check of the data set, and autoseg's planning. Predictions come from nets
that were not trained.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.badinput.images import png_of
from tests.io.make import write_json, write_picture

EDGE, CASES, LIMIT_S = 64, 8, 240
NAME = "Dataset001_Bad"
RAW, RESULTS = "nnUNet_raw", "nnUNet_results"
#: What nnU-Net keeps its progress and its adverts in.
NOISE = re.compile(r"it/s\]|s/it\]|^#+$|Please cite|Isensee|Nature methods|^\s*$|multiprocessing|resource_tracker|warnings\.warn")
WIDTH = 170
FINISHED = (
    "import sys; from pathlib import Path; import torch; from batchgenerators.utilities.file_and_folder_operations import load_json as j\n"
    "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer as T\n"
    "p = Path(sys.argv[1]); plans = {**j(p / 'nnUNetPlans.json'), 'continue_training': False}\n"
    "t = T(plans, '2d', 0, j(p / 'dataset.json'), device=torch.device('cpu'))\n"
    "t.initialize(); t.save_checkpoint(str(Path(t.output_folder) / 'checkpoint_final.pth'))\n"
    "import shutil; base = Path(t.output_folder_base)\n"
    "[shutil.copy(p / a, base / b) for a, b in (('nnUNetPlans.json', 'plans.json'), ('dataset.json', 'dataset.json'))]\n"
    "shutil.copy(p / 'dataset_fingerprint.json', base / 'dataset_fingerprint.json')\n"
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended."""

    code: int
    seconds: float
    text: str

    def __str__(self) -> str:
        # What follows a success is no answer: a print of the plan, or the next command.
        text = "accepted" if self.code == 0 and (self.text.startswith("{") or self.text.startswith("Next:")) else self.text
        said = text if len(text) <= WIDTH else text[:WIDTH] + "..."
        return f"**{self.code}**, {self.seconds:.0f} s: {said.replace('|', '/').replace('<', '&lt;')}"


def sound(root: Path) -> None:
    """8 images with a bright square, labelled 1."""
    rng = np.random.default_rng(0)
    for k in range(CASES):
        image, labels = rng.integers(0, 60, (EDGE, EDGE), np.uint8), np.zeros((EDGE, EDGE), np.uint8)
        labels[10 + k : 30 + k, 12:40] = 1
        write_picture(root / f"imagesTr/case{k}_0000.png", image + 100 * labels)
        write_picture(root / f"labelsTr/case{k}.png", labels)
    describe(root)


def describe(root: Path, ending: str = ".png") -> None:
    content = {"channel_names": {"0": "X-ray"}, "labels": {"background": 0, "x": 1}, "numTraining": CASES, "file_ending": ending}
    write_json(root / "dataset.json", content)


def square(value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    labels = np.zeros((EDGE, EDGE), np.uint8)
    labels[10:30, 12:40] = value
    return labels


def cut(root: Path, file: str, keep: int) -> None:
    (root / file).write_bytes((root / file).read_bytes()[:keep])


def nan(root: Path) -> None:
    """The images as NIfTI, one with NaN in it."""
    for part in ("imagesTr", "labelsTr"):
        for path in list((root / part).glob("*.png")):
            array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[None].astype(np.float32 if part == "imagesTr" else np.uint8)
            if path.name == "case1_0000.png":
                array[0, 20, 20] = np.nan
            sitk.WriteImage(sitk.GetImageFromArray(array), str(path.with_suffix(".nii.gz")))
            path.unlink()
    describe(root, ".nii.gz")


def loop(root: Path) -> None:
    path = root / "imagesTr/case1_0000.png"
    path.unlink()
    path.symlink_to(path)


def no_images(root: Path) -> None:
    for path in (root / "imagesTr").iterdir():
        path.unlink()


IMAGE, LABEL = "imagesTr/case1_0000.png", "labelsTr/case1.png"
DATA: dict[str, Callable[[Path], object]] = {
    "an image cut short": lambda root: cut(root, IMAGE, 2000),
    "an image of 0 bytes": lambda root: cut(root, IMAGE, 0),
    "text called png": lambda root: (root / IMAGE).write_text("hello"),
    "an image whose header says 60000 x 60000": lambda root: (root / IMAGE).write_bytes(png_of(60_000, 60_000)),
    "a link to itself": loop,
    "NaN in an image": nan,
    "a mask of 0 and 255": lambda root: write_picture(root / LABEL, square(255)),
    "multi-hot labels in a colour png": lambda root: write_picture(root / LABEL, np.stack([square(1), square(1).T, square(0)], -1)),
    "labels of another size": lambda root: write_picture(root / LABEL, square(1)[:60]),
    "labels missing": lambda root: (root / LABEL).unlink(),
    "labels cut short": lambda root: cut(root, LABEL, 70),
    "a colour image among grey ones": lambda root: write_picture(root / IMAGE, np.stack([square(9), square(99), square(7)], -1)),
    "dataset.json with a comma too many": lambda root: (root / "dataset.json").write_text('{"labels": {"x": 1,}}'),
    "no images": no_images,
}  # fmt: skip


class Side:
    """A place with both tools.

    Parameters
    ----------
    place : Path
    nnunet : Path
        Its virtual environment.
    """

    def __init__(self, place: Path, nnunet: Path) -> None:
        self.place, self.nnunet = place, nnunet
        self.raw = place / RAW / NAME

    def run(self, *command: object) -> Said:
        """A command, with what it said last that is a person's business."""
        names = {name: str(self.place / name) for name in (RAW, "nnUNet_preprocessed", RESULTS)}
        begun = time.monotonic()
        done = subprocess.Popen(
            list(map(str, command)), env={**os.environ, **names, "CUDA_VISIBLE_DEVICES": ""}, text=True, cwd=self.place,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            text, code = done.communicate(timeout=LIMIT_S)[0], done.returncode
        except subprocess.TimeoutExpired:
            os.killpg(done.pid, 9)
            text, code = f"no end after {LIMIT_S} s", 124
        lines = [line.strip() for line in text.splitlines() if not NOISE.search(line)] or [""]
        said = next((line for line in lines if line.startswith("Error: ")), lines[-1])
        if said.endswith(":") or "problems in the data" in said:
            said = " ".join(lines[lines.index(said) :][:3])
        return Said(code=code, seconds=time.monotonic() - begun, text=said.replace(f"{self.raw}/", "").replace(f"{self.place}/", ""))

    def plan_nnunet(self, *options: str) -> Said:
        """nnUNetv2_plan_and_preprocess."""
        shutil.rmtree(self.place / "nnUNet_preprocessed", ignore_errors=True)
        return self.run(self.nnunet / "bin/nnUNetv2_plan_and_preprocess", "-d", 1, "-c", "2d", "-np", 1, "-npfp", 1, *options)

    def plan_autoseg(self) -> Said:
        """autoseg plan_and_preprocess, for a small net."""
        settings = ("--set", f"2d.patch={EDGE},{EDGE}", "--set", "2d.batch=2")
        return self.run(*AUTOSEG, "plan_and_preprocess", "-d", self.raw, "--gpu", "cpu", "--configs", "2d", *settings, "-w", self.place)


AUTOSEG = (sys.executable, "-m", "autoseg")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet", type=Path, required=True)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print("| given | nnU-Net | nnU-Net --verify_dataset_integrity | autoseg |\n|---|---|---|---|")
    for name, harm in DATA.items():
        if given.only in name:
            with tempfile.TemporaryDirectory() as folder:
                side = Side(Path(folder), given.nnunet)
                sound(side.raw)
                harm(side.raw)
                row = side.plan_nnunet(), side.plan_nnunet("--verify_dataset_integrity"), side.plan_autoseg()
            print(f"| {name} |", " | ".join(map(str, row)), "|", flush=True)
    if given.only in "predict":
        print("\n| given to predict | nnU-Net | autoseg |\n|---|---|---|")
        with tempfile.TemporaryDirectory() as folder:
            predictions(Side(Path(folder), given.nnunet))


class Opened:
    """Pickled: what it does when a checkpoint is opened."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("opened",)


def predictions(side: Side) -> None:
    """Rows of predictions with one corrupt image of two, an empty folder, and a net that is a pickle."""
    sound(side.raw)
    finish = (side.nnunet / "bin/python", "-c", FINISHED, side.place / "nnUNet_preprocessed" / NAME)
    train = (*AUTOSEG, "train", "2d", "fold0", "--epochs", 1, "--iterations-per-epoch", 1, "-d", side.raw, "-w", side.place)
    for step in (side.plan_nnunet(), side.run(*finish), side.plan_autoseg(), side.run(*train)):
        assert step.code == 0, step
    images, empty = side.place / "images", side.place / "empty"
    empty.mkdir()
    shutil.copytree(side.raw / "imagesTr", images, ignore=lambda _, names: [name for name in names if name[4] not in "12"])
    cut(images, "case1_0000.png", 2000)

    def both(folder: Path) -> str:
        cells = []
        for tool, command in (
            (
                "a",
                (
                    side.nnunet / "bin/nnUNetv2_predict",
                    "-i",
                    folder,
                    "-o",
                    side.place / "a",
                    "-d",
                    1,
                    "-c",
                    "2d",
                    "-f",
                    0,
                    "-device",
                    "cpu",
                ),
            ),
            ("b", (*AUTOSEG, "predict", "-i", folder, "-o", side.place / "b", "-d", side.raw, "--device", "cpu", "-w", side.place)),
        ):
            shutil.rmtree(side.place / tool, ignore_errors=True)
            said = side.run(*command)
            made = len(list((side.place / tool).glob("case*"))) if (side.place / tool).is_dir() else 0
            opened = (side.place / "opened").is_dir()
            shutil.rmtree(side.place / "opened", ignore_errors=True)
            cells.append(f"{said}; {made} predicted{', and the code in the file was run' if opened else ''}")
        return " | ".join(cells)

    print("| one image of two cut short |", both(images), "|", flush=True)
    print("| an empty folder |", both(empty), "|", flush=True)
    for net in (*side.place.glob(f"{RESULTS}/*/*/fold_0/checkpoint_final.pth"), *side.place.glob("results/**/checkpoint_last.safetensors")):
        net.write_bytes(pickle.dumps(Opened(), protocol=2))
    print("| a net that is a pickle of a stranger's code |", both(images), "|", flush=True)


if __name__ == "__main__":
    main()
