"""Fingerprints of data sets that exist by description only: as many cases as they have, of the size they have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autoseg.fingerprint import ClassContext, ClassFacts, Context, Fingerprint, FlipLikeness
from autoseg.plan import Stage
from autoseg.planners.topology import unet
from autoseg.recipe import recipe_for
from tests import small
from tests.fingerprint.make import case_facts, fingerprint

UPRIGHT = tuple(
    FlipLikeness(axis=axis, labels=0.6, labels_flipped=0.1, label_error=0.01, image=0.8, image_flipped=0.5, image_error=0.01)
    for axis in (0, 1)
)


def described(
    *, images: int, size: int, classes: int, channels: int = 1, overlapping: bool = False, alike: int = 0, needed: float = 0.0
) -> Fingerprint:
    """A data set of square pictures whose first `alike` classes look alike and take a window of `needed` to be told apart."""
    others = [tuple(j for j in range(alike) if j != k) if k < alike else () for k in range(classes)]
    shown = Context(
        classes=tuple(ClassContext(extent=(0.1, 0.1), look_alikes=alikes, needed=needed or None) for alikes in others),
        windows=(0.5, 1.0),
        accuracy=(0.5, 1.0) if alike else (),
        cases=images,
    )
    each = ClassFacts(area=size * size // 100, components=1, extent=(size // 10,) * 2, centroid=(size / 2, size / 2))
    given: dict[str, Any] = {"shape": (size, size), "nonzero_box": ((0, size),) * 2, "classes": (each,) * classes, "channels": channels}
    cases = [case_facts(f"case{i:03d}", **given) for i in range(images)]
    area = images * each.area
    shared = area // 10 if overlapping else 0
    overlap = tuple(tuple(area if i == j else shared for j in range(classes)) for i in range(classes))
    names = tuple(f"class {k}" for k in range(classes))
    made = fingerprint(cases, names, overlap=overlap, priors=(0.01,) * classes)
    return replace(made, num_channels=channels, flips=UPRIGHT, context=shown)


#: The four sets of docs/memory.md. HandBone: the competition's numbers, its context as measured on the phantom.
SETS: dict[str, Fingerprint] = {
    "HandBone": described(images=800, size=2048, classes=29, overlapping=True, alike=25, needed=0.63),
    "1024": described(images=200, size=1024, classes=5),
    "512 RGB": described(images=300, size=512, classes=3, channels=3),
    "4096": described(images=60, size=4096, classes=8),
}


def whole(shape: tuple[int, ...], **changes: Any) -> Stage:
    """A stage whose patch covers an image of this shape."""
    patch, network = unet(shape, (1.0,) * len(shape), in_channels=1, num_heads=changes.pop("heads", 2))
    given = {"patch": patch, "network": network, "image_shape": shape, "recipe": recipe_for("dice_bce", 10_000), "precision": "fp16"}
    return small.stage(len(shape), **{**given, **changes})
