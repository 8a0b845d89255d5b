"""Transforms of other packages: when they are drawn, and that they shift no other draw."""

from dataclasses import fields, replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from autoseg import extensions
from autoseg.augment.draws import SampleDraw, draw_sample, sample_rng
from autoseg.augment.intensity import augment_intensity_
from autoseg.augment.normalization import Intensity
from autoseg.augment.synthetic import heaviest_draw, weigh_the_same
from autoseg.memory import step_key
from autoseg.recipe import Augmentation
from tests import small


def drawn(iteration: int, **changes: object) -> SampleDraw:
    augmentation = replace(Augmentation(), **changes)  # type: ignore[arg-type]
    return draw_sample(sample_rng(0, "0", iteration, 0), augmentation, num_channels=1, num_axes=2, mirror_axes=(0, 1), rotation=30)


def test_it_is_drawn_as_often_as_the_plan_says() -> None:
    often = [drawn(k, transforms={"a": 0.25, "b": 1.0, "c": 0.0}).added for k in range(400)]
    assert {name for each in often for name, _ in each} == {"a", "b"}
    assert all("b" in dict(each) for each in often)
    share = sum("a" in dict(each) for each in often) / 400
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 400))
    assert len({dict(each)["b"] for each in often}) == 400


def test_it_shifts_no_other_draw() -> None:
    for k in range(20):
        without, more = drawn(k), drawn(k, transforms={"a": 1.0, "b": 0.5})
        for field in fields(SampleDraw):
            if field.name != "added":
                np.testing.assert_array_equal(
                    np.asarray(getattr(without, field.name), object), np.asarray(getattr(more, field.name), object), err_msg=field.name
                )
        assert dict(more.added)["a"] == dict(drawn(k, transforms={"a": 1.0}).added)["a"]


def test_it_gets_the_finished_image_and_its_own_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def note(image: torch.Tensor, rng: np.random.Generator) -> None:
        seen.append(rng.integers(1000))
        image.add_(1)

    monkeypatch.setattr(EntryPoint, "load", lambda point: note)
    monkeypatch.setattr(extensions, "installed", lambda kind: {"a": EntryPoint(name="a", value="x:y", group="autoseg.transforms")})
    image = torch.zeros(1, 4, 4)
    augment_intensity_(image, small.neutral(added=(("a", 7), ("a", 7), ("a", 8))), Intensity.identity(1))
    assert torch.equal(image, torch.full((1, 4, 4), 3.0))
    assert seen[0] == seen[1] == np.random.default_rng(7).integers(1000)


def test_its_memory_is_traced_where_it_may_be_drawn() -> None:
    plain = small.stage()
    augmentation = plain.recipe.augmentation
    never = small.with_recipe(plain, augmentation=replace(augmentation, transforms={"a": 0.0}))
    rarely = small.with_recipe(plain, augmentation=replace(augmentation, transforms={"a": 0.1}))
    assert (heaviest_draw(never).added, heaviest_draw(rarely).added) == ((), (("a", 0),))
    assert weigh_the_same(plain, never)
    assert not weigh_the_same(plain, rarely)
    assert len({step_key(plain), step_key(rarely)}) == 2
