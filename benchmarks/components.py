"""What the previous stage's channels of a sample cost in a cascade: bytes to probabilities on the device, components that go missing.

    taskset -c 0 python -m benchmarks.components

Processor time of one thread, so that other work on the machine counts little; medians of ten.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.augment.components import remove_components_
from autoseg.augment.draws import THINNED_CLASSES, Removal, SampleDraw
from autoseg.augment.previous import previous_channels
from autoseg.recipe import Augmentation

ROUNDS = 10


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Channels with soft balls in them.

    Parameters
    ----------
    shape : tuple of int
        Of the patch.
    classes, balls : int
        Balls in each class.
    radii : (float, float)
    """

    shape: tuple[int, ...]
    classes: int
    balls: int
    radii: tuple[float, float]


SETTINGS = (
    Setting(shape=(128, 128, 128), classes=2, balls=6, radii=(5.0, 18.0)),
    Setting(shape=(2048, 2048), classes=29, balls=1, radii=(40.0, 150.0)),
)


def main() -> None:
    """Print three lines for each setting."""
    torch.set_num_threads(1)
    share = Augmentation().previous_removal_p * THINNED_CLASSES
    for setting in SETTINGS:
        stored = draw(setting, np.random.default_rng(0))
        removing, filling = 1e3 * time_removal(stored), 1e3 * time_filling(stored)
        print(f"{' x '.join(map(str, setting.shape))}, {setting.classes} classes with {setting.balls} each:")
        print(f"  a component of one channel {removing / setting.classes:.1f} ms; a sample, in the mean, {share * removing:.1f} ms")
        print(f"  bytes to probabilities, neither warped nor reshaped: {filling:.1f} ms a sample")


def time_removal(stored: NDArray[np.uint8]) -> float:
    """Seconds that it takes to remove a component of each channel."""
    removals = [Removal(channel=k, pick=0.5) for k in range(len(stored))]
    return seconds(lambda: remove_components_(stored.copy(), removals, patch_size=stored[0].size)) - seconds(stored.copy)


def time_filling(stored: NDArray[np.uint8]) -> float:
    """Seconds from bytes to what the net sees."""
    given, out, patch = torch.from_numpy(stored), torch.empty(stored.shape), stored.shape[1:]
    centre = tuple((n - 1) / 2 for n in patch)
    return seconds(lambda: previous_channels(given, still(), patch, centre, swap=(), out=out))


def draw(setting: Setting, rng: np.random.Generator) -> NDArray[np.uint8]:
    """255 times the probabilities, (K, *shape): logistic ramps of some pixels about balls."""
    grid = np.indices(setting.shape).astype(np.float32)
    out = np.zeros((setting.classes, *setting.shape), np.uint8)
    for channel in out:
        for _ in range(setting.balls):
            centre = np.array([rng.uniform(0, n) for n in setting.shape], np.float32).reshape(-1, *[1] * len(setting.shape))
            beyond = np.sqrt(((grid - centre) ** 2).sum(0)) - rng.uniform(*setting.radii)
            ball = 255 / (1 + np.exp(np.clip(beyond / 1.5, -50, 50)))
            np.maximum(channel, ball.astype(np.uint8), out=channel)
    return out


def still() -> SampleDraw:
    """The draw that changes nothing."""
    zeros, ones = np.zeros(1), np.ones(1)
    return SampleDraw(
        matrix=None, flips=(), noise_seed=0, noise_std=0.0, blur_sigma=zeros, brightness=ones, contrast=ones, lowres=ones,
        gamma_inverted=ones, gamma=ones,
    )  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    """Median processor time of a call."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
