"""The whole training loop: two threads read, the device augments and trains. How long the device waits for data, and how busy it is.

Cases are drawn and lie in memory, or compressed on disk as in training where blosc2 is installed.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.augment import Intensity, RawSample, SourceBox, make_batch, sample_rng, source_box
from autoseg.augment.synthetic import stage_draw
from autoseg.geometry import mirror_indices
from autoseg.plan import Stage
from autoseg.step import Reading, build_learner, read_later, training_step
from benchmarks.clock import Clock
from benchmarks.devices import Device, profiled_busy
from benchmarks.gpu_steps import sized
from benchmarks.stages import stage

HEAD = ("patch", "batch", "precision", "cases", "ms a step", "images/s", "waiting for data, ms", "waiting, share", "GPU busy", "by")
WORKERS, NUM_CASES, NUM_SETS = 2, 8, 30
#: Of the cases, by their number of axes.
SHAPES: dict[int, tuple[int, ...]] = {2: (2048, 2048), 3: (192, 256, 256)}
TINY_SHAPES: dict[int, tuple[int, ...]] = {2: (24, 24), 3: (20, 18, 24)}
WARM_UP_STEPS, LEAST_STEPS, TIMED_S, PROFILED_STEPS = 5, 5, 4.0, 5

#: Reads a batch of raw samples by its number.
Read = Callable[[int], list[RawSample]]


@dataclass(frozen=True, kw_only=True)
class StoredCases:
    """Cases that are read by slices: images (1, (Z,) Y, X) and code maps ((Z,) Y, X), and where they lie, in words."""

    images: Sequence[Any]
    codes: Sequence[Any]
    says: str


def rows(device: Device, clock: Clock) -> Iterator[tuple[str, ...]]:
    """A row for each size, pictures first, the largest first."""
    with tempfile.TemporaryDirectory() as folder:
        stored: dict[int, StoredCases] = {}
        for size in sized(device):
            axes = size.axes
            if axes not in stored:
                stored[axes] = store_cases(Path(folder) / str(axes), (TINY_SHAPES if device.tiny else SHAPES)[axes])
            cases = stored[axes]
            given = stage(size.patch, size.batch, classes=3 if device.tiny else 29, precision=size.precision)
            what = (" x ".join(map(str, size.patch)), str(size.batch), given.precision, cases.says)
            yield what + (measure(given, cases, device) if clock.allows_another() else ("skipped: no time left", *[""] * 5))


def store_cases(folder: Path, shape: tuple[int, ...]) -> StoredCases:
    """Smooth bands with noise, and a code map of squares or cubes."""
    rng = np.random.default_rng(0)
    places = np.indices(shape, np.int32)
    codes = ((places // 64).sum(axis=0) % NUM_SETS).astype(np.uint8)
    images = []
    for shift in range(NUM_CASES):
        bands = 120 + 80 * np.sin((places.sum(axis=0) + 37 * shift) / 50)
        images.append((bands + rng.normal(0, 6, bands.shape)).clip(0, 255).astype(np.uint8)[None])
    if not importlib.util.find_spec("blosc2"):
        return StoredCases(images=images, codes=[codes] * NUM_CASES, says="in memory")
    # Imported here: a bare machine has no blosc2.
    stored = importlib.import_module("autoseg.preprocess.stored_array")
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        stored.save_array(folder / f"image{number}.b2nd", image, stored.chunk_shape(image.shape, 1, sliced=False))
    stored.save_array(folder / "codes.b2nd", codes, stored.chunk_shape((1, *codes.shape), 1, sliced=False)[1:])
    opened = [stored.open_array(folder / f"image{number}.b2nd", "") for number in range(NUM_CASES)]
    return StoredCases(images=opened, codes=[stored.open_array(folder / "codes.b2nd", "")] * NUM_CASES, says="compressed on disk")


def reader(given: Stage, cases: StoredCases) -> Read:
    """Cuts the samples of an iteration as training does: drawn by its number, beyond the border the image's mirror."""
    table = np.concatenate([np.zeros((1, len(given.priors)), np.bool_), np.eye(NUM_SETS - 1, len(given.priors), dtype=np.bool_)])
    intensity = Intensity(mean=(120.0,), std=(57.0,), lower=(0.0,), upper=(255.0,))

    def sample(iteration: int, index: int) -> RawSample:
        rng = sample_rng(0, "0", iteration, index)
        case = int(rng.integers(NUM_CASES))
        shape = cases.codes[case].shape
        corner = tuple(int(rng.integers(size - edge + 1)) for size, edge in zip(shape, given.patch, strict=True))
        draw = stage_draw(given, rng)
        box = source_box(corner, given.patch, draw)
        return RawSample(
            image=cut(cases.images[case], box, leading=1), codes=cut(cases.codes[case], box, leading=0), table=table,
            ignore=np.zeros(len(table), np.bool_), intensity=intensity, draw=draw, centre=box.centre,
        )  # fmt: skip

    return lambda iteration: [sample(iteration, index) for index in range(given.batch)]


def cut(array: Any, box: SourceBox, *, leading: int) -> NDArray[Any]:
    """The part of a stored array in a box; beyond its border the mirror."""
    shape = array.shape[leading:]
    inside = [slice(max(0, a), min(b, n)) for a, b, n in zip(box.start, box.stop, shape, strict=True)]
    if all(part == slice(a, b) for part, a, b in zip(inside, box.start, box.stop, strict=True)):
        return np.asarray(array[(*[slice(None)] * leading, *inside)])
    whole = np.asarray(array[:])
    for axis, (a, b, n) in enumerate(zip(box.start, box.stop, shape, strict=True), start=leading):
        whole = whole.take(mirror_indices(a, b, n), axis=axis)
    return whole


def read_ahead(read: Read, workers: int) -> Generator[list[RawSample]]:
    """The trainers' own loader, found by its file: their package needs more than a bare machine has."""
    file = Path(__file__).parents[1] / "trainers" / "loader.py"
    spec = importlib.util.spec_from_file_location("benchmarks_loader", file)
    assert spec is not None, file
    assert spec.loader is not None, file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    batches: Generator[list[RawSample]] = module.read_ahead(read, 0, workers=workers)
    return batches


def measure(given: Stage, cases: StoredCases, device: Device) -> tuple[str, ...]:
    """Cells of a row behind what it is: the loop of a training, which reads the loss one step late."""
    device.reset()
    torch.manual_seed(0)
    learner = build_learner(given, device.place, exclusive=False, precision=given.precision)
    unread: Reading | None = None
    with closing(read_ahead(reader(given, cases), WORKERS)) as batches:

        def step() -> float:
            """Seconds that it waited for data."""
            nonlocal unread
            begin = time.perf_counter()
            raw = next(batches)
            waited = time.perf_counter() - begin
            batch = make_batch(raw, given.patch, device=device.place, swap=given.mirror_swap)
            result = training_step(learner, [batch])
            if unread is not None:
                unread.numbers()
            unread = read_later(result)
            return waited

        def steps(num: int) -> None:
            for _ in range(num):
                step()
            device.synchronize()

        steps(1 if device.tiny else WARM_UP_STEPS)
        waits: list[float] = []
        taken: list[float] = []
        with device.watch() as busy:
            while len(taken) < (2 if device.tiny else LEAST_STEPS) or (sum(taken) < TIMED_S and not device.tiny):
                begin = time.perf_counter()
                waits.append(step())
                taken.append(time.perf_counter() - begin)
            device.synchronize()
        percent, by = busy.percent, "nvidia-smi"
        if percent is None:
            percent, by = profiled_busy(device, lambda: steps(1 if device.tiny else PROFILED_STEPS)), "torch.profiler"
    step_s, wait_s = statistics.mean(taken), statistics.mean(waits)
    shown = ("", "") if percent is None else (f"{percent:.0f} %", by)
    return f"{1000 * step_s:.1f}", f"{given.batch / step_s:.1f}", f"{1000 * wait_s:.2f}", f"{wait_s / step_s:.1%}", *shown
