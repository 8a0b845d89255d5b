"""One picture: its outlines are the silhouettes, its size is only a sampling, its bones overlap where they must."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from autoseg.demo.case import BENT_SHARE, PARTS, Scene, _clip, draw_hands, outlines, render
from autoseg.demo.pose import apply, compose, draw_pose
from autoseg.demo.shapes import BONES, FloatArray
from autoseg.demo.solid import look_up


def masks(scene: Scene, size: int) -> dict[str, NDArray[np.bool_]]:
    found = outlines(scene, size=size)
    return {bone: polygon2mask((size, size), points[:, ::-1]) for bone, points in found.items()}


def silhouette(scene: Scene, bone: str, size: int) -> NDArray[np.bool_]:
    """Pixels whose centre meets the bone, from its solid instead of its outline."""
    placement = next(placement for placement in scene.pose.placements if placement.bone == bone)
    matrix = compose(scene.pose.to_picture, placement.matrix)
    rows, columns = np.mgrid[0:size, 0:size]
    left, top, right, bottom = scene.exposure.visible
    centres = (np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5) / size
    seen = (centres >= (left, top)).all(axis=1) & (centres <= (right, bottom)).all(axis=1)
    x, y = ((centres - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T).T.astype(np.float32)
    solid = scene.person.bones[bone]
    reach = solid.step * (np.array(solid.distance.shape) - 1)
    on_grid = (x > solid.corner[0]) & (y > solid.corner[1]) & (x < solid.corner[0] + reach[1]) & (y < solid.corner[1] + reach[0])
    inside: NDArray[np.bool_] = ((look_up(solid, x, y) > 0) & on_grid & seen).reshape(size, size)
    return inside


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene for part in PARTS for index in range(3) for scene in draw_hands(seed=0, part=part, index=index)[1].values()]


def test_outlines_are_the_silhouettes(scenes: list[Scene]) -> None:
    scene = scenes[5]
    for bone, mask in masks(scene, 256).items():
        true = silhouette(scene, bone, 256)
        assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) >= 0.97, bone


def test_outline_of_a_bone_in_full_view_has_its_area(scenes: list[Scene]) -> None:
    scene = scenes[0]
    placement = next(placement for placement in scene.pose.placements if placement.bone == "Capitate")
    curve = 512 * apply(compose(scene.pose.to_picture, placement.matrix), scene.person.bones["Capitate"].outline)
    assert _area(outlines(scene, size=512)["Capitate"]) == pytest.approx(_area(curve), rel=0.01)


def _area(points: FloatArray) -> float:
    x, y = points.T
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


def test_every_class_has_pixels(scenes: list[Scene]) -> None:
    for scene in scenes:
        areas = {bone: int(mask.sum()) for bone, mask in masks(scene, 96).items()}
        assert list(areas) == list(BONES)
        assert min(areas.values()) >= 4, areas


def test_only_the_forearm_leaves_the_picture(scenes: list[Scene]) -> None:
    for scene in scenes:
        left, top, right, bottom = np.clip(scene.exposure.visible, 0, 1)
        for placement in scene.pose.placements[: len(BONES) - 2]:
            curve = apply(compose(scene.pose.to_picture, placement.matrix), scene.person.bones[placement.bone].outline)
            assert (curve > (left, top)).all(), placement.bone
            assert (curve < (right, bottom)).all(), placement.bone


def test_size_is_only_a_sampling(scenes: list[Scene]) -> None:
    scene = scenes[2]
    large, small = (np.stack(list(masks(scene, size).values())) for size in (128, 64))
    halved = large.reshape(len(BONES), 64, 2, 64, 2).mean(axis=(2, 4))
    # A pixel of the small mask is one whose centre is inside: it may be cut by the outline, yet never lies wholly on the other side.
    assert not (small & (halved == 0)).any()
    assert not (~small & (halved == 1)).any()
    image = render(scene, size=128).reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(image - render(scene, size=64)).mean() < 3


@pytest.mark.parametrize(("first", "second", "share"), [("Pisiform", "Triquetrum", 0.5), ("Trapezoid", "Trapezium", 0.05)])
def test_carpals_overlap(scenes: list[Scene], first: str, second: str, share: float) -> None:
    both = [(mask[first] & mask[second]).sum() / mask[first].sum() for mask in (masks(scene, 128) for scene in scenes)]
    assert np.mean(both) > share


def test_bones_add_up_where_they_overlap(scenes: list[Scene]) -> None:
    brighter = []
    for scene in scenes[:4]:
        image, mask = render(scene, size=128).astype(float), masks(scene, 128)
        overlap = mask["Pisiform"] & mask["Triquetrum"]
        brighter.append(image[overlap].mean() - image[mask["Triquetrum"] & ~overlap].mean())
    assert min(brighter) > 0


def test_hands_of_a_person_share_the_bones() -> None:
    person, hands = draw_hands(seed=3, part="train", index=0)
    assert hands["R"].person is person
    assert hands["L"].person is person
    # The thumb lies left of the little finger in a right hand and right of it in a left one.
    for side, sign in (("R", -1), ("L", 1)):
        pose = hands[side].pose
        thumb, little = (apply(pose.to_picture, pose.joints[digit])[0, 0] for digit in (0, 4))
        assert np.sign(thumb - little) == sign


def test_share_of_bent_wrists(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for share in BENT_SHARE.values():
        bent = [draw_pose(rng, scenes[0].person, right=True, bent_share=share).bent for _ in range(400)]
        assert abs(np.mean(bent) - share) < 3 * np.sqrt(share * (1 - share) / len(bent))


def test_clip_of_a_square() -> None:
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    clipped = _clip(square, (1.0, -9.0, 9.0, 3.0))
    assert _area(clipped) == pytest.approx(9.0)
    assert np.array_equal(_clip(square, (-1.0, -1.0, 9.0, 9.0)), square)
