"""The Medical Segmentation Decathlon's ten training sets as published: cases, channels, classes, median shape and spacing.

Shapes and spacings are those of nnU-Net's target grids (Isensee et al. 2021, supplement, full resolution). Here every case has the median
shape on that grid, so that plans of both are made from the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoseg.fingerprint import ClassContext, ClassFacts, Context, Fingerprint, FlipLikeness
from autoseg.plan import Stage
from tests.fingerprint.make import case_facts, fingerprint

GPU = "v100-32gb"
GOLDEN = Path(__file__).with_name("decathlon.json")


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is published of a set; axes z, y, x, spacing in mm."""

    cases: int
    channels: int
    classes: int
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]


DECATHLON = {
    "01 BrainTumour": Published(cases=484, channels=4, classes=3, shape=(138, 169, 138), spacing=(1.0, 1.0, 1.0)),
    "02 Heart": Published(cases=20, channels=1, classes=1, shape=(115, 320, 232), spacing=(1.37, 1.25, 1.25)),
    "03 Liver": Published(cases=131, channels=1, classes=2, shape=(482, 512, 512), spacing=(1.0, 0.77, 0.77)),
    "04 Hippocampus": Published(cases=260, channels=1, classes=2, shape=(36, 50, 35), spacing=(1.0, 1.0, 1.0)),
    "05 Prostate": Published(cases=32, channels=2, classes=2, shape=(20, 320, 319), spacing=(3.6, 0.62, 0.62)),
    "06 Lung": Published(cases=63, channels=1, classes=1, shape=(252, 512, 512), spacing=(1.24, 0.79, 0.79)),
    "07 Pancreas": Published(cases=281, channels=1, classes=2, shape=(96, 512, 512), spacing=(2.5, 0.8, 0.8)),
    "08 HepaticVessel": Published(cases=303, channels=1, classes=2, shape=(150, 512, 512), spacing=(1.5, 0.8, 0.8)),
    "09 Spleen": Published(cases=41, channels=1, classes=1, shape=(187, 512, 512), spacing=(1.6, 0.79, 0.79)),
    "10 Colon": Published(cases=126, channels=1, classes=1, shape=(150, 512, 512), spacing=(3.0, 0.78, 0.78)),
}


def described(name: str) -> Fingerprint:
    """The fingerprint of a set of which all cases are the median one, no flips, no look-alikes."""
    p = DECATHLON[name]
    each = ClassFacts(area=1000, components=1, extent=tuple(n // 8 for n in p.shape), centroid=tuple(n / 2 for n in p.shape))
    case = case_facts("case", shape=p.shape, spacing=p.spacing, unit="mm", channels=p.channels, classes=(each,) * p.classes)
    cases = [replace(case, name=f"case{i:03d}") for i in range(p.cases)]
    area = p.cases * each.area
    overlap = tuple(tuple(area if i == j else 0 for j in range(p.classes)) for i in range(p.classes))
    seen = Context(
        classes=tuple(ClassContext(extent=(0.1, 0.1, 0.1), look_alikes=(), needed=None) for _ in range(p.classes)),
        windows=(0.5, 1.0), accuracy=(), cases=p.cases,
    )  # fmt: skip
    flips = tuple(
        FlipLikeness(axis=axis, labels=0.6, labels_flipped=0.1, label_error=0.01, image=0.8, image_flipped=0.5, image_error=0.01)
        for axis in range(3)
    )
    names = tuple(f"class {k}" for k in range(p.classes))
    made = fingerprint(cases, names, overlap=overlap, priors=(0.01,) * p.classes)
    return replace(made, num_channels=p.channels, flips=flips, context=seen)


def golden_entry(name: str, stage: Stage) -> dict[str, Any]:
    """What a golden plan holds of a stage."""
    return {
        "data": name, "stage": stage.name, "spacing": [round(s, 3) for s in stage.spacing], "image_shape": list(stage.image_shape),
        "patch": list(stage.patch), "batch": stage.batch, "strides": [list(s) for s in stage.network.strides],
        "kernels": [list(k) for k in stage.network.kernels], "features": list(stage.network.features),
        "checkpointed_stages": stage.checkpointed_stages, "peak_bytes": stage.memory.peak_bytes,
    }  # fmt: skip
