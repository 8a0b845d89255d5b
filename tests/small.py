"""Small stages, plans and samples for tests of everything between the plan and the trained net."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from autoseg.augment import Batch, Intensity, RawSample, SampleDraw
from autoseg.budget import Budget
from autoseg.labels import LabelSpace
from autoseg.plan import Memory, Network, Normalization, Plan, Stage
from autoseg.recipe import NO_AUGMENTATION, Recipe

CPU = torch.device("cpu")
OVERLAPPING = LabelSpace(classes=("손/any", "b c"), exclusive=False)
EXCLUSIVE = LabelSpace(classes=("a", "b"), exclusive=True, values=(7, 300))


def network(axes: int = 2, **changes: Any) -> Network:
    """Three stages, 4 to 12 features: pools by 4."""
    given: dict[str, Any] = {
        "in_channels": 1, "num_heads": 2, "features": (4, 8, 12), "strides": ((1,) * axes, (2,) * axes, (2,) * axes),
        "kernels": ((3,) * axes,) * 3, "convs": 1,
    }  # fmt: skip
    return Network(**{**given, **changes})


def recipe(**changes: Any) -> Recipe:
    """AdamW at 0.01, nothing augmented."""
    given: dict[str, Any] = {
        "name": "default", "loss": "dice_bce", "optimizer": "adamw", "lr": 0.01, "schedule": "cosine", "augmentation": NO_AUGMENTATION,
    }  # fmt: skip
    return Recipe(**{**given, **changes})


def stage(axes: int = 2, *, exclusive: bool = False, **changes: Any) -> Stage:
    """Two classes, patches of 16, batches of 2."""
    given: dict[str, Any] = {
        "name": "2d" if axes == 2 else "3d_fullres", "spacing": (1.0,) * axes, "resample": False, "image_shape": (16,) * axes,
        "patch": (16,) * axes, "batch": 2, "network": network(axes, num_heads=2 + exclusive), "precision": "fp32",
        "memory": Memory(peak_bytes=1, budget_bytes=2, parts={"parameters": 1}), "mirror_axes": (0, 1), "rotation_degrees": 30.0,
        "iterations": 8, "iterations_per_epoch": 4, "recipe": recipe(loss="dice_ce" if exclusive else "dice_bce"), "priors": (0.2, 0.1),
        "reasons": {"patch": "the whole image"},
    }  # fmt: skip
    return Stage(**{**given, **changes})


def plan(labels: LabelSpace = OVERLAPPING, axes: int = 2, **changes: Any) -> Plan:
    """A plan of one stage on this machine's processor."""
    only = stage(axes, exclusive=labels.exclusive)
    given: dict[str, Any] = {
        "name": "default", "dataset": "Small", "fingerprint": "0" * 16, "labels": labels, "num_axes": axes, "unit": "pixel",
        "channels": ("grey",), "normalization": (Normalization(kind="zscore"),), "crop_to_nonzero": False,
        "budget": Budget(name="cpu", kind="cpu", memory_bytes=2**32), "stages": {only.name: only}, "reasons": {"labels": "they overlap"},
    }  # fmt: skip
    return Plan(**{**given, **changes})


def neutral(channels: int = 1, **changes: Any) -> SampleDraw:
    """The draw that changes nothing."""
    zeros, ones = np.zeros(channels), np.ones(channels)
    given: dict[str, Any] = {
        "matrix": None, "flips": (), "noise_seed": 0, "noise_std": 0.0, "blur_sigma": zeros, "brightness": ones, "contrast": ones,
        "lowres": ones, "gamma_inverted": ones, "gamma": ones,
    }  # fmt: skip
    return SampleDraw(**{**given, **changes})


def sample(shape: tuple[int, ...] = (16, 16), *, seed: int = 0, sets: int = 4, classes: int = 2, **changes: Any) -> RawSample:
    """Random 8-bit pixels and codes; nothing is done to them."""
    rng = np.random.default_rng(seed)
    table = rng.random((sets, classes)) < 0.5
    table[0] = False
    given: dict[str, Any] = {
        "image": rng.integers(0, 255, (1, *shape), dtype=np.uint8), "codes": rng.integers(0, sets, shape, dtype=np.uint8), "table": table,
        "ignore": np.zeros(sets, np.bool_), "intensity": Intensity.identity(1), "draw": neutral(),
        "centre": tuple((n - 1) / 2 for n in shape),
    }  # fmt: skip
    return RawSample(**{**given, **changes})


def batch(
    num: int = 2, patch: tuple[int, ...] = (16, 16), *, seed: int = 0, ignore: bool = False, sets: int = 4, classes: int = 2
) -> Batch:
    """Random images and codes, as a step gets them."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand((num, sets, classes), generator=generator) < 0.5
    table[:, 0] = False
    ignored = torch.zeros((num, sets), dtype=torch.bool)
    if ignore:
        table[:, -1], ignored[:, -1] = False, True
    return Batch(
        images=torch.randn((num, 1, *patch), generator=generator),
        codes=torch.randint(0, sets, (num, *patch), generator=generator, dtype=torch.int32),
        table=table,
        ignore=ignored if ignore else None,
    )


def with_recipe(given: Stage, **changes: Any) -> Stage:
    """The stage with another recipe."""
    return replace(given, recipe=replace(given.recipe, **changes))


def bright_squares() -> Batch:
    """Class 0 is bright, class 1 covers its upper half: quickly learned."""
    codes = torch.zeros((2, 16, 16), dtype=torch.int32)
    codes[:, 4:12, 4:12], codes[:, 4:8, 4:12] = 1, 2
    images = (codes > 0).float().unsqueeze(1) + torch.arange(16).reshape(1, 1, 16, 1) / 16
    return Batch(images=images, codes=codes, table=torch.tensor([[[0, 0], [1, 0], [1, 1]]] * 2, dtype=torch.bool), ignore=None)
