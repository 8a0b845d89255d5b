"""Small data sets made by hand: facts from points, cases from arrays."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.case import Case, LoadedCase
from autoseg.demo.anatomy import draw_person
from autoseg.demo.pose import apply, compose, draw_pose
from autoseg.demo.shapes import BONES
from autoseg.fingerprint import Arrangement, CaseFacts, ClassFacts, Fingerprint, FlipLikeness, Intensity, NeighbourLikeness
from autoseg.geometry import Geometry
from autoseg.labels import encode_masks

Points = NDArray[np.float64]

FLAT = Intensity(minimum=0, maximum=255, mean=100, std=20, percentile_00_5=1, median=100, percentile_99_5=250)
NOTHING = Arrangement(cases=0, flatness=0, spread=0, nearest=1, fits=(), turn_median=0, turn_p95=0, turn_cases=0)


def case_facts(name: str, **changes: Any) -> CaseFacts:
    """A 64 x 64 grey image of pixels, with one class in the middle."""
    shape = changes.get("shape", (64, 64))
    middle = ClassFacts(area=100, components=1, extent=(10,) * len(shape), centroid=tuple(n / 2 for n in shape))
    given: dict[str, Any] = {
        "group": None, "identity": "0" * 16, "shape": shape, "spacing": (1.0,) * len(shape), "unit": "pixel", "channels": 1,
        "is_grey": False, "dtype": "uint8", "nonzero_box": tuple((0, n) for n in shape), "intensity": (FLAT,), "foreground": (FLAT,),
        "classes": (middle,), "labelled": int(np.prod(shape)),
    }  # fmt: skip
    return CaseFacts(name=name, **{**given, **changes})


def facts_of_points(points: Points, *, size: float = 6.0, groups: Sequence[str] | None = None) -> list[CaseFacts]:
    """Cases whose classes have these centroids, (N, K, n) in pixels; NaN: the class is absent."""
    axes = points.shape[-1]

    def one_class(centroid: Points) -> ClassFacts | None:
        if np.isnan(centroid[0]):
            return None
        return ClassFacts(area=int(size**axes), components=1, extent=(int(size),) * axes, centroid=tuple(map(float, centroid)))

    return [
        case_facts(f"case{i}", shape=(256,) * axes, classes=tuple(map(one_class, case)), group=groups[i] if groups else None)
        for i, case in enumerate(points)
    ]


def fingerprint(cases: Sequence[CaseFacts], classes: Sequence[str] = ("a",), **changes: Any) -> Fingerprint:
    """A fingerprint of these cases; nothing is alike, nothing overlaps."""
    areas = [sum(facts.area for case in cases if (facts := case.classes[k])) for k in range(len(classes))]
    given: dict[str, Any] = {
        "dataset": "made", "root": "/made", "layout": "folders", "identity": "0" * 16, "classes": tuple(classes), "values": {},
        "has_ignore": False, "channels": (), "num_channels": cases[0].channels, "num_axes": len(cases[0].shape), "unit": cases[0].unit,
        "cases": tuple(cases), "overlap": tuple(map(tuple, np.diag(areas).tolist())), "priors": (0.1,) * len(classes),
        "foreground": (FLAT,) * cases[0].channels, "neighbours": None, "arrangement": NOTHING, "flips": (),
    }  # fmt: skip
    return Fingerprint(**{**given, **changes})


def flip(axis: int, upright: float, flipped: float, *, error: float = 0.0) -> FlipLikeness:
    """Labels and images that are this much alike."""
    return FlipLikeness(
        axis=axis, labels=upright, labels_flipped=flipped, label_error=error, image=upright, image_flipped=flipped, image_error=error
    )


def likeness(order: Sequence[str], values: Sequence[float], *, others_p90: float = 0.5) -> NeighbourLikeness:
    """Neighbours in this order, correlated like this."""
    above = sum(v > others_p90 for v in values)
    return NeighbourLikeness(
        order=tuple(order), neighbours=tuple(values), others_median=0.1, others_p90=others_p90, share_above=above / len(values),
        p_value=0.0 if above > len(values) / 2 else 0.5,
    )  # fmt: skip


def loaded(name: str, image: NDArray[Any], masks: Sequence[NDArray[np.bool_]] | None, **changes: Any) -> LoadedCase:
    """A case in memory from an image (C, (z,) y, x) and masks; `spacing` makes it one of mm."""
    shape = image.shape[1:]
    geometry = Geometry.pixels(shape)
    if spacing := changes.get("spacing"):
        geometry = Geometry(shape=shape, spacing=spacing, origin=geometry.origin, direction=geometry.direction)
    ignored = changes.get("ignored")
    labels = None if masks is None else encode_masks(masks, shape, ignored)
    case = Case(name=name, images=(Path(f"/made/{name}.png"),), group=changes.get("group"))
    return LoadedCase(case=case, image=image, geometry=geometry, labels=labels)


def turn(degrees: float) -> NDArray[np.float64]:
    """Rotation of the plane, for columns."""
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


@lru_cache
def phantom_hands(people: int = 20, *, bent_share: float = 0.25) -> tuple[Points, tuple[bool, ...]]:
    """Centres of the 29 bones of the phantom's hands, (2 people, 29, 2) in pixels of a 256 x 256 picture: right and left hand of each
    person in turn; and whose wrist is bent. Drawn as `demo.phantom` draws them, without a picture."""
    points, bent = [], []
    for index in range(people):
        person = draw_person(np.random.default_rng((0, 0, index, 0)))
        for hand in (1, 2):
            pose = draw_pose(np.random.default_rng((0, 0, index, hand)), person, right=hand == 1, bent_share=bent_share)
            bones = pose.placements[: len(BONES)]
            outlines = (apply(compose(pose.to_picture, bone.matrix), person.bones[bone.bone].outline) for bone in bones)
            points.append([256 * outline.mean(0)[::-1] for outline in outlines])
            bent.append(pose.bent)
    return np.array(points), tuple(bent)
