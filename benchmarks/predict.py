"""Prediction, end to end, beside nnU-Net's: reading, the net, writing; seconds and memory of all processes.

    python -m benchmarks.predict time VENV            # one large image, softmax and sigmoid heads
    python -m benchmarks.predict many VENV            # small images, batched
    python -m benchmarks.predict classes | ensemble   # what classes and folds cost
    python -m benchmarks.predict large --edge 20000 --file deflate   # memory of one image, mostly black
    python -m benchmarks.predict fp32 WORKSPACE       # masks of trained folds, in bf16 from files, and in fp32

VENV is an environment in which nnU-Net is installed. Both sides have the same architecture, step and flips; the numbers of tiles are
printed. Each runs in a process of its own, in turn; medians are printed, and the median of the ratios of pairs. Processor time is that of a
process and of the workers that it has ended: on a busy machine, and with one thread, it is what can be compared. Memory is the largest sum
of the proportional set sizes (PSS) of a process and all below it, looked at 20 times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

from autoseg.augment import Intensity
from autoseg.budget import Budget
from autoseg.case import Case, LoadedCase
from autoseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from autoseg.infer.nets import load_net
from autoseg.infer.window import num_tiles, predict_image
from autoseg.io.images import read_image
from autoseg.io.layouts import read_dataset
from autoseg.io.names import escape_name
from autoseg.io.truth import read_mask
from autoseg.labels import LabelSpace, Mask
from autoseg.nets import build_unet
from autoseg.plan import Normalization, Plan, Stage
from autoseg.predictor import Predictor
from autoseg.preprocess.prepare import prepare
from benchmarks.nnunet_predict import processor_s
from benchmarks.stages import stage
from benchmarks.step import PAUSE_S

MIB = 2**20


def pss_bytes(root: int) -> int:
    """Proportional set sizes of a process and all below it; processes that end meanwhile count as nothing."""
    total, found = 0, [root]
    for process in found:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += 1024 * int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except (OSError, StopIteration):
            continue
    return total


class Peak:
    """The largest memory of a process tree until `end`."""

    def __init__(self, root: int) -> None:
        self.largest = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(root,))
        self._thread.start()

    def _look(self, root: int) -> None:
        while not self._over.wait(0.05):
            self.largest = max(self.largest, pss_bytes(root))

    def end(self) -> int:
        """Bytes."""
        self._over.set()
        self._thread.join()
        return self.largest


class Times(NamedTuple):
    """Seconds of a prediction: all of it, the sliding window alone (0: not known), and of processor time."""

    whole: float
    window: float
    processor: float


@dataclass(kw_only=True)
class Side:
    """A process that predicts a folder for each line it gets."""

    process: subprocess.Popen[str]
    about: dict[str, Any]

    @classmethod
    def start(cls, command: Sequence[str]) -> Side:
        """Begin, and read what it says of itself."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        side = cls(process=process, about={})
        side.about = side._answer()
        return side

    def predict(self) -> Times:
        """Predict the folder once."""
        assert self.process.stdin is not None
        time.sleep(PAUSE_S)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Times(*self._answer())

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(map(str, self.process.args))} ended with exit code {self.process.wait()}")  # type: ignore[arg-type]
        return json.loads(line)

    def end(self) -> None:
        """Close its input and wait."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def draw_images(folder: Path, edge: int, num: int) -> None:
    """Textured images without a constant tile, 8 bit, named as nnU-Net wants them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    cells = ndimage.gaussian_filter(rng.normal(size=(min(edge, 1024),) * 2), 3, mode="wrap")
    scaled = (cells - cells.min()) / (cells.max() - cells.min()) * 200 + 20
    for number in range(num):
        image = np.tile(np.roll(scaled, 37 * number).astype(np.uint8), (-(-edge // len(scaled)),) * 2)[:edge, :edge]
        image = image + rng.integers(0, 8, (edge, 1), np.uint8) + rng.integers(0, 8, (1, edge), np.uint8)
        with Image.fromarray(image) as picture:
            picture.save(folder / f"case{number:03d}_0000.png", compress_level=1)


def random_run(folder: Path, patch: int, classes: int, *, exclusive: bool, folds: int = 1) -> Path:
    """A run of untrained nets of the size that nnU-Net plans."""
    one = replace(stage((patch, patch), 1, classes=classes, exclusive=exclusive), precision="bf16")
    run = folder / "results" / "default" / "2d-default"
    for fold in range(folds):
        torch.manual_seed(fold)
        plan = plan_of(one, classes, exclusive=exclusive)
        checkpoint = Checkpoint(plan=plan, stage="2d", fold=str(fold), weights=build_unet(one.network).state_dict())
        save_checkpoint(run / f"fold{fold}" / "checkpoint_last.safetensors", checkpoint)
        (run / f"fold{fold}" / "summary.json").write_text("{}")
    return run


def plan_of(one: Stage, classes: int, *, exclusive: bool) -> Plan:
    """A plan with this stage alone; images are scaled to mean 0 and deviation 1."""
    names = tuple(f"bone {k}" for k in range(1, classes + 1))
    labels = LabelSpace(classes=names, exclusive=exclusive, values=tuple(range(1, classes + 1)) if exclusive else ())
    return Plan(
        name="default", dataset="Random", fingerprint="", labels=labels, num_axes=2, unit="pixel", channels=("X-ray",),
        normalization=(Normalization(kind="zscore"),), crop_to_nonzero=False, budget=Budget(name="cpu", kind="cpu", memory_bytes=2**34),
        stages={"2d": one},
    )  # fmt: skip


def serve(given: argparse.Namespace) -> None:
    """Our side: print a line of JSON, then predict FOLDER/in for each line of input and print the seconds."""
    predictor = Predictor.load(given.folder / "results", device="cpu", tta=given.tta)
    window, heads = predictor.model.window, predictor.plan.labels.num_heads
    cases = [Case(name=path.stem, images=(path,)) for path in sorted((given.folder / "in").iterdir())]
    about = {
        "tiles": num_tiles((given.edge, given.edge), window), "flips": 2 ** len(window.mirror_axes), "heads": heads,
        "folds": len(predictor.model.nets), "precision": window.precision,
    }  # fmt: skip
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        start, used = time.perf_counter(), processor_s()
        outcome = predictor.predict_files(cases, given.folder / "ours", overwrite=True)
        if outcome.failures:
            sys.exit(str(outcome.failures))
        print(json.dumps([time.perf_counter() - start, 0.0, processor_s() - used]), flush=True)


def ours(folder: Path, edge: int, *, tta: bool = False) -> Side:
    """Our side."""
    command = [sys.executable, "-m", "benchmarks.predict", "serve", "--folder", str(folder), "--edge", str(edge)]
    return Side.start([*command, *(["--tta"] if tta else [])])


def theirs(venv: Path, folder: Path, edge: int, patch: int, classes: int) -> Side:
    """nnU-Net's side."""
    script = Path(__file__).with_name("nnunet_predict.py")
    sizes = ["--edge", str(edge), "--patch", str(patch), "--classes", str(classes)]
    return Side.start([str(venv / "bin" / "python"), "-P", str(script), str(folder), *sizes])


def describe(name: str, about: dict[str, Any]) -> None:
    """What a side says of itself."""
    print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in about.items()), flush=True)


def pairs(first: Side, second: Side, rounds: int) -> list[tuple[Times, Times]]:
    """Both in turn, after one of each that does not count."""
    return [(first.predict(), second.predict()) for _ in range(rounds + 1)][1:]


def report(name: str, times: Sequence[tuple[Times, Times]], peaks: tuple[int, int]) -> None:
    """A line of the table."""
    median = statistics.median
    cells = [median(b.whole for _, b in times), median(a.whole for a, _ in times), median(a.window for a, _ in times)]
    cells += [median(a.whole / b.whole for a, b in times), median(a.window / b.whole for a, b in times)]
    cells += [
        median(b.processor for _, b in times),
        median(a.processor for a, _ in times),
        median(a.processor / b.processor for a, b in times),
    ]
    print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + f" | {peaks[1] / MIB:.0f} | {peaks[0] / MIB:.0f} |", flush=True)


HEADER = (
    "| case | s | nnU-Net's s | of it the window's | times its speed | its window's | processor s | nnU-Net's | times | MiB | nnU-Net's |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def beside(venv: Path, rounds: int, *, edge: int, patch: int, num: int, kinds: Sequence[bool]) -> None:
    """The table of one size of image; `kinds` are exclusive (31 heads) or not (29)."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, processors {sorted(os.sched_getaffinity(0))}")
    rows = []
    for exclusive in kinds:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            draw_images(folder / "in", edge, num)
            random_run(folder, patch, 30 if exclusive else 29, exclusive=exclusive)
            first, second = theirs(venv, folder, edge, patch, 30), ours(folder, edge)
            describe("nnU-Net", first.about)
            describe("ours", second.about)
            looks = Peak(first.process.pid), Peak(second.process.pid)
            times = pairs(first, second, rounds)
            peaks = looks[0].end(), looks[1].end()
            first.end()
            second.end()
        rows.append((f"{num} x {edge}, {'31 heads, softmax' if exclusive else '29 heads, sigmoid'}", times, peaks))
    print(HEADER)
    for row in rows:
        report(*row)


def costs(kinds: Sequence[tuple[str, dict[str, Any]]], rounds: int, *, edge: int, tta: bool) -> None:
    """Seconds of our runs in turn, and of each the median ratio to the first."""
    with tempfile.TemporaryDirectory() as text:
        sides = []
        for number, (_, options) in enumerate(kinds):
            folder = Path(text) / str(number)
            draw_images(folder / "in", edge, 1)
            random_run(folder, 512, **{"exclusive": False, **options})
            sides.append(ours(folder, edge, tta=tta))
            describe(kinds[number][0], sides[-1].about)
        looks = [Peak(side.process.pid) for side in sides]
        times = [[side.predict() for side in sides] for _ in range(rounds + 1)][1:]
        print("| | s | times the first | processor s | times the first | MiB |\n|---|---|---|---|---|---|")
        for number, ((name, _), side) in enumerate(zip(kinds, sides, strict=True)):
            own = [row[number] for row in times]
            cells = [statistics.median(one.whole for one in own), statistics.median(row[number].whole / row[0].whole for row in times)]
            cells += [statistics.median(one.processor for one in own)]
            cells += [statistics.median(row[number].processor / row[0].processor for row in times)]
            print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + f" | {looks[number].end() / MIB:.0f} |", flush=True)
            side.end()


#: How a large image lies in its file: pillow's png, or what tifffile is told.
FILES: dict[str, dict[str, Any]] = {
    "png": {},
    "tif": {},
    "deflate": {"compression": "zlib", "predictor": True, "rowsperstrip": 16},
    "lzw": {"compression": "lzw", "predictor": True, "tile": (512, 512)},
    "jpeg": {"compression": "jpeg", "tile": (256, 256)},
}


def large(edge: int, classes: int, kind: str) -> None:
    """Peak memory of one large image, black but for 2048 x 2048 pixels in its middle: a net of full size computes the black tiles once."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        draw_images(folder / "small", min(edge, 2048), 1)
        (path,) = (folder / "small").iterdir()
        (folder / "in").mkdir()
        with Image.open(path) as textured, Image.new("L", (edge, edge)) as picture:
            picture.paste(textured, ((edge - textured.width) // 2,) * 2)
            if kind == "png":
                picture.save(folder / "in" / path.name, compress_level=1)
            else:
                tifffile.imwrite(folder / "in" / path.with_suffix(".tif").name, np.asarray(picture), **FILES[kind])
        random_run(folder, 512, classes, exclusive=False)
        side = ours(folder, edge)
        describe("ours", side.about)
        start = pss_bytes(side.process.pid)
        look = Peak(side.process.pid)
        times = side.predict()
        memory = f"{look.end() / MIB:.0f} MiB at the peak, {start / MIB:.0f} before"
        print(f"{edge} x {edge}, {classes} classes, {kind}: {memory}; {times.whole:.0f} s, processor {times.processor:.0f} s", flush=True)
        side.end()


def compare(root: Path) -> None:
    """Dice of the masks that a trained fold writes, in bf16 and decoded again, with those in fp32.

    Where the image fits into the patch, fp32 is the net itself on the image, mirrored by numpy: no code of the tiles has a part in it.
    """
    for file in sorted(root.glob("results/*/*/*/fold0/checkpoint_last.safetensors")):
        fast = Predictor.load(file.parents[1], ["0"], device="cpu", tta=False)
        net = load_net(load_checkpoint(file), torch.device("cpu"))
        raw = read_dataset(root / "raw" / fast.plan.dataset)
        cases = raw.test[:6]
        with tempfile.TemporaryDirectory() as text:
            fast.predict_files(cases, Path(text), dataset=raw, formats=("masks",))
            found = [dice(*masks) for case in cases for masks in masks_of(fast, net, case, Path(text))]
        patch = "x".join(map(str, fast.model.window.patch))
        print(
            f"{file.parent.relative_to(root)}: patch {patch}, {len(found)} masks, bf16 against fp32: "
            f"mean Dice {np.nanmean(found):.5f}, lowest {np.nanmin(found):.5f}",
            flush=True,
        )


def masks_of(fast: Predictor, net: nn.Module, case: Case, out: Path) -> Iterator[tuple[Mask, Mask]]:
    """Each class's mask, read from its file, and in fp32."""
    image = read_image(case.images)
    exact = replace(fast.model.window, precision="fp32")
    loaded = LoadedCase(case=case, image=image.array[:1], geometry=image.geometry, labels=None)
    prepared = prepare(loaded, fast.plan, stage=fast.plan.stages[fast.stage])
    spare = [p - n for p, n in zip(exact.patch, prepared.image.shape[1:], strict=True)]
    if min(spare) >= 0:
        edges = [(n // 2, n - n // 2) for n in spare]
        padded = np.pad(prepared.image, [(0, 0), *edges], mode="reflect")
        x = Intensity.of(prepared.meta).apply(torch.from_numpy(padded[None]).float())
        with torch.inference_mode():
            whole = net(x)[0][0].sigmoid().numpy()
        whole = whole[:, *(slice(low, low + n) for (low, _), n in zip(edges, prepared.image.shape[1:], strict=True))]
    else:
        whole = predict_image([net], prepared.image, exact, Intensity.of(prepared.meta))
    for name, plane in zip(fast.plan.labels.classes, whole, strict=True):
        exactly = np.zeros(image.geometry.shape, np.bool_)
        exactly[tuple(slice(*side) for side in prepared.meta.box)] = plane > 0.5
        yield read_mask(out / escape_name(case.name) / f"{escape_name(name)}.png", image.geometry, image=case.images[0]), exactly


def dice(a: Mask, b: Mask) -> float:
    """2 |A and B| / (|A| + |B|); NaN of two empty masks."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else float("nan")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("time", "many", "classes", "ensemble", "large", "fp32", "serve"))
    parser.add_argument("path", type=Path, nargs="?", help="with nnunetv2 in it, or a workspace")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--edge", type=int, default=2048)
    parser.add_argument("--file", choices=FILES, default="png", help="of large")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tta", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.what in ("time", "many", "fp32") and given.path is None:
        sys.exit(f"python -m benchmarks.predict {given.what} needs a path: the environment of nnU-Net, or a workspace")
    if given.what == "serve":
        serve(given)
    elif given.what == "time":
        beside(given.path, given.rounds, edge=given.edge, patch=512, num=1, kinds=(True, False) if given.edge > 1024 else (True,))
    elif given.what == "many":
        beside(given.path, given.rounds, edge=256, patch=256, num=250, kinds=(True,))
    elif given.what == "classes":
        kinds: list[tuple[str, dict[str, Any]]] = [(f"{n} classes", {"classes": n}) for n in (1, 29, 100)]
        costs(kinds, given.rounds, edge=given.edge, tta=False)
    elif given.what == "ensemble":
        one: dict[str, Any] = {"classes": 29}
        costs([("1 fold", one), ("5 folds", one | {"folds": 5})], given.rounds, edge=1024, tta=True)
    elif given.what == "large":
        large(given.edge, 30, given.file)
    else:
        compare(given.path)


if __name__ == "__main__":
    main()
