"""Tiny plans, nets whose answer is known (a class wherever the image is bright enough), and images for them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from autoseg.budget import Budget
from autoseg.case import Case
from autoseg.checkpoint import Checkpoint, save_checkpoint
from autoseg.labels import LabelSpace
from autoseg.nets import build_unet
from autoseg.plan import Memory, Network, Normalization, Plan, Stage
from autoseg.recipe import recipe_for

OVERLAPPING = LabelSpace(classes=("bright", "손/any"), exclusive=False)
EXCLUSIVE = LabelSpace(classes=("bright", "middle"), exclusive=True, values=(7, 300))


def tiny_plan(
    labels: LabelSpace,
    *,
    num_axes: int = 2,
    slice_axis: int | None = None,
    spacing: tuple[float, ...] | None = None,
    patch: int = 16,
    crop: bool = False,
) -> Plan:
    """A plan with one channel and one stage, "2d" or "3d_fullres"; resampled if `spacing` is given."""
    net_axes = num_axes if slice_axis is None else num_axes - 1
    network = Network(
        in_channels=1,
        num_heads=labels.num_heads,
        features=(4, 8),
        strides=((1,) * net_axes, (2,) * net_axes),
        kernels=((3,) * net_axes,) * 2,
        convs=1,
    )
    stage = Stage(
        name="2d" if net_axes == 2 else "3d_fullres",
        slice_axis=slice_axis,
        spacing=spacing or (1.0,) * num_axes,
        resample=spacing is not None,
        image_shape=(32,) * num_axes,
        patch=(patch,) * net_axes,
        batch=2,
        network=network,
        precision="fp32",
        memory=Memory(peak_bytes=1, budget_bytes=2),
        mirror_axes=tuple(range(net_axes)),
        iterations=1,
        iterations_per_epoch=1,
        recipe=recipe_for("dice_ce" if labels.exclusive else "dice_bce", 1),
        priors=(0.1,) * labels.num_classes,
    )
    return Plan(
        name="default",
        dataset="Tiny",
        fingerprint="",
        labels=labels,
        num_axes=num_axes,
        unit="mm",
        channels=("grey",),
        normalization=(Normalization(kind="ct", lower=0, upper=255, mean=0, std=1),),
        crop_to_nonzero=crop,
        budget=Budget(name="cpu", kind="cpu", memory_bytes=2**30),
        stages={stage.name: stage},
    )


def random_checkpoint(plan: Plan, fold: str = "0", seed: int = 0) -> Checkpoint:
    """An untrained net of the plan."""
    torch.manual_seed(seed)
    (stage,) = plan.stages
    return Checkpoint(plan=plan, stage=stage, fold=fold, weights=build_unet(plan.stages[stage].network).state_dict())


def plant_run(results: Path, plan: Plan, *folds: str) -> Path:
    """results/default/STAGE-default with untrained, finished folds."""
    (stage,) = plan.stages
    run = results / "default" / f"{stage}-default"
    for fold in folds:
        save_checkpoint(run / f"fold{fold}" / "checkpoint_last.safetensors", random_checkpoint(plan, fold, seed=int(fold)))
        (run / f"fold{fold}" / "summary.json").write_text("{}")
    return run


def images(folder: Path, *names: str) -> list[Case]:
    """Noise of 20 x 24 pixels, of each name its own."""
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 255, (20, 24)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return [Case(name=name, images=(folder / f"{name}.png",)) for name in names]


class Thresholds(nn.Module):
    """Heads by brightness. Overlapping: above 150, above 50. Exclusive: background, above 150, between 50 and 150."""

    def __init__(self, labels: LabelSpace) -> None:
        super().__init__()
        self.exclusive = labels.exclusive

    def forward(self, x: Tensor) -> list[Tensor]:
        x = x / 10
        bright, some = x - 15, x - 5
        return [torch.cat([0 * x, bright + some, some], dim=1) if self.exclusive else torch.cat([bright, some], dim=1)]


def blocks(*shape: int) -> NDArray[np.uint8]:
    """0, 100 and 200 in blocks, with a border of 0, one channel."""
    image = np.zeros((1, *shape), np.uint8)
    image[0][tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 100
    image[0][tuple(slice(n // 4, n // 2) for n in shape)] = 200
    return image
