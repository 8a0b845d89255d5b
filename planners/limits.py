"""What a person may choose beyond what a plan's types already say: ranges, and what the device can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import chain

from autoseg.augment.intensity import TRANSFORMS
from autoseg.budget import Budget
from autoseg.extensions import Kind, known
from autoseg.labels import LabelSpace
from autoseg.losses import LOSSES
from autoseg.nets import NETS
from autoseg.plan import Network, Stage
from autoseg.planners.topology import MIN_EDGE
from autoseg.recipe import Augmentation, Recipe

#: Ranges of factors and exponents: 0 would leave a constant picture.
POSITIVE = ("scaling", "lowres_scale", "gamma")
#: Residual blocks of an encoder: nnU-Net's presets have 44 at most.
MAX_BLOCKS = 200

#: Where in the stage, as dotted path, and what must hold.
Complaint = tuple[str, str]


def beyond_limits(stage: Stage, budget: Budget, labels: LabelSpace) -> list[Complaint]:
    """Every number of a stage that no net or no training can use, each with its path and a sentence; empty if all is well.

    Notes
    -----
    What needs two fields that must fit each other (patch and strides, features and kernels) is checked when those are made.
    """
    found = chain(
        _of_grid(stage), _of_pose(stage), _of_device(stage, budget), _of_network(stage.network), _of_recipe(stage.recipe, labels),
        _of_augmentation(stage.recipe.augmentation),
    )  # fmt: skip
    return list(found)


def _of_grid(stage: Stage) -> Iterator[Complaint]:
    if any(s <= 0 for s in stage.spacing):
        yield "spacing", f"must be positive, got {_text(stage.spacing)}"
    if any(edge < MIN_EDGE for edge in stage.patch):
        yield "patch", f"must be at least {MIN_EDGE} along each axis, got {_text(stage.patch)}"


def _of_pose(stage: Stage) -> Iterator[Complaint]:
    axes, classes = stage.network.num_axes, len(stage.priors)
    if len(set(stage.mirror_axes)) != len(stage.mirror_axes) or any(not 0 <= axis < axes for axis in stage.mirror_axes):
        yield "mirror_axes", f"must name axes of the net, each once, of 0 to {axes - 1}, got {_text(stage.mirror_axes)}"
    swap = stage.mirror_swap
    if swap and (len(swap) != classes or any(not 0 <= k < classes or swap[k] != c for c, k in enumerate(swap))):
        yield "mirror_swap", f"must give the partner of each of the {classes} classes, and its partner's partner must be itself"
    if not 0 <= stage.rotation_degrees <= 180:
        yield "rotation_degrees", f"must lie in 0 to 180, got {stage.rotation_degrees:g}"
    if any(not 0 < p < 1 for p in stage.priors):
        yield "priors", "must lie above 0 and below 1 each"


def _of_device(stage: Stage, budget: Budget) -> Iterator[Complaint]:
    half = {"fp16"} if budget.kind == "cuda" and budget.capability >= (7, 0) else set()
    allowed = {"fp32", budget.precision, *half}
    if stage.precision not in allowed:
        yield "precision", f"{budget.name} computes in {' or '.join(sorted(allowed))}, got {stage.precision}"
    levels = len(stage.network.features)
    if not 0 <= stage.checkpointed_stages <= levels:
        yield "checkpointed_stages", f"must lie in 0 to {levels}, the stages of the net, got {stage.checkpointed_stages}"


def _of_network(network: Network) -> Iterator[Complaint]:
    yield from _unknown("network.kind", "nets", network.kind, NETS)
    if any(n < 1 for n in network.features):
        yield "network.features", f"must be at least 1 each, got {_text(network.features)}"
    if network.convs < 1:
        yield "network.convs", f"must be at least 1, got {network.convs}"
    if sum(network.blocks) > MAX_BLOCKS:
        yield "network.blocks", f"must be {MAX_BLOCKS} at most together, got {_text(network.blocks)}"
    if any(k % 2 == 0 for kernel in network.kernels for k in kernel):
        yield "network.kernels", "must be odd"


def _of_recipe(recipe: Recipe, labels: LabelSpace) -> Iterator[Complaint]:
    yield from _unknown("recipe.loss", "losses", recipe.loss, LOSSES)
    for name in ("class_weights", "loss_weights"):
        if unknown := getattr(recipe, name).keys() - set(labels.classes):
            yield f"recipe.{name}", f"names {sorted(unknown)[0]}, which is no class; classes are {', '.join(labels.classes)}"
    if not 0 <= recipe.momentum < 1:
        yield "recipe.momentum", f"must lie in 0 to 1, below 1, got {recipe.momentum:g}"
    if recipe.weight_decay < 0:
        yield "recipe.weight_decay", f"must not be negative, got {recipe.weight_decay:g}"
    if recipe.clip_norm <= 0:
        yield "recipe.clip_norm", f"must be positive, got {recipe.clip_norm:g}"


def _of_augmentation(augmentation: Augmentation) -> Iterator[Complaint]:
    for field in fields(augmentation):
        path, value = f"recipe.augmentation.{field.name}", getattr(augmentation, field.name)
        if isinstance(value, str):
            continue
        if isinstance(value, dict):
            for name in value:
                yield from _unknown(path, "transforms", name, TRANSFORMS)
            continue
        if field.name in POSITIVE and not value[0] > 0:
            yield path, f"must be above 0, got {_text(value)}"
        elif field.name == "lowres_scale" and value[1] > 1:
            yield path, f"shrinks and must not exceed 1, got {_text(value)}"
        elif isinstance(value, tuple):
            if not 0 <= value[0] <= value[1]:
                yield path, f"must be two ascending numbers, not negative, got {_text(value)}"
        elif not 0 <= value <= 1:
            yield path, f"is a probability and must lie in 0 to 1, got {value:g}"


def _unknown(path: str, kind: Kind, name: str, own: Mapping[str, object]) -> Iterator[Complaint]:
    """A name that nothing installed here has."""
    if name not in known(kind, own):
        there = ", ".join(known(kind, own)) or "none"
        yield path, f"must be one of {there}, or an installed package's (entry points autoseg.{kind}), got {name!r}"


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
