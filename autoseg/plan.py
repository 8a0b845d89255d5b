"""The plan: everything that was decided, in a file a person can read and edit. The planner writes it, all stages after it read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from autoseg.budget import Budget, Precision
from autoseg.geometry import Unit
from autoseg.labels import LabelSpace
from autoseg.recipe import LOSS_FOR, Recipe, epoch_length

#: Raised when a field changes its meaning; a plan of another version is refused.
PLAN_VERSION = 2

NormalizationKind = Literal["zscore", "ct", "unit", "clahe"]
CONFIGURATIONS = ("2d", "2d_lowres", "2d_cascade", "3d_fullres", "3d_lowres", "3d_cascade_fullres")


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """How one channel becomes zero-mean: y = (clip(x, lower, upper) - mean) / std.

    Parameters
    ----------
    kind : {"zscore", "ct", "unit", "clahe"}
        "zscore": mean and std of the case itself; "ct": the data set's clip range, mean and std over the foreground;
        "unit": colour images, x / 255 (or / 65535), centred; "clahe": local contrast equalised over the whole image when the case is
        prepared (`preprocess.equalise`), then as "zscore".
    lower, upper, mean, std : float or None
        The data set's constants; None where the case's own statistics are used.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: NormalizationKind
    lower: float | None = None
    upper: float | None = None
    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True, kw_only=True)
class Network:
    """A U-Net in numbers; stage 0 is the full resolution.

    Parameters
    ----------
    in_channels, num_heads : int
    features : tuple of int
        Channels of each encoder stage.
    strides : tuple of tuple of int
        Of the first convolution of each stage, per axis; the first is all ones.
    kernels : tuple of tuple of int
        Kernel of each stage, per axis.
    convs : int
        Convolutions in each stage, the decoder's too unless `decoder_convs` says otherwise; of the decoder alone if there are `blocks`.
    blocks : tuple of int
        Residual blocks of each encoder stage; empty: plain convolutions.
    deep_supervision : bool
        Every decoder resolution has a head of its own in training; losses/ weighs them.
    kind : str
        Who builds it: "unet", or a net of another installed package.
    decoder_convs : int or None
        Convolutions in each stage of the decoder where they are not as many as `convs`; None if they are, however it was said. One
        instead of two saves 13 to 23 % of a step (docs/plan.md).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    in_channels: int
    num_heads: int
    features: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    convs: int = 2
    blocks: tuple[int, ...] = ()
    deep_supervision: bool = True
    # Part of the key that a traced memory goes by where it is another, see memory.trace.step_key.
    kind: str = field(default="unet", repr=False)
    decoder_convs: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.decoder_convs is not None and self.decoder_convs < 1:
            raise ValueError(f"decoder_convs must be at least 1, got {self.decoder_convs}")
        if self.decoder_convs == self.convs:
            # Equal nets are equal: a run goes on, and folds predict together, whichever way its plan said it.
            object.__setattr__(self, "decoder_convs", None)
        if not len(self.features) == len(self.strides) == len(self.kernels) >= 2:
            raise ValueError(f"features, strides and kernels need one entry per stage, at least two, got {self}")
        if self.blocks and (len(self.blocks) != len(self.features) or min(self.blocks) < 1):
            raise ValueError(f"blocks must be empty or hold at least 1 for each of {len(self.features)} stages, got {self.blocks}")
        if len({len(sizes) for sizes in (*self.strides, *self.kernels)}) != 1:
            raise ValueError(f"strides and kernels need one entry per axis, the same number everywhere, got {self.strides}, {self.kernels}")
        if min(size for sizes in (*self.strides, *self.kernels) for size in sizes) < 1:
            raise ValueError(f"strides and kernels must be at least 1, got {self.strides}, {self.kernels}")
        if any(s != 1 for s in self.strides[0]):
            raise ValueError(f"the first stage must not stride, got {self.strides[0]}")

    @property
    def convs_up(self) -> int:
        """Convolutions in each stage of the decoder, whether as many as the encoder's or not."""
        return self.convs if self.decoder_convs is None else self.decoder_convs

    @property
    def num_axes(self) -> int:
        """Spatial axes, 2 or 3."""
        return len(self.strides[0])

    @property
    def multiple(self) -> tuple[int, ...]:
        """What an input's shape must be a multiple of, per axis."""
        product = [1] * self.num_axes
        for stride in self.strides:
            product = [p * s for p, s in zip(product, stride, strict=True)]
        return tuple(product)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The peak of one training step, traced, against what the device has.

    `of` stands for the step that was traced (`memory.step_key`): a plan that was edited since is traced again before it is trained.
    `parts` splits the peak: parameters, gradients, optimizer, average (of the weights, if the recipe has one), activations, context, and
    workspace on CUDA or loader on a CPU.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    peak_bytes: int
    budget_bytes: int
    parts: dict[str, int] = field(default_factory=dict)
    of: str = ""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One resolution at which a net is trained.

    Parameters
    ----------
    name : str
        A configuration: "2d", "3d_fullres", ...
    slice_axis : int or None
        For a 2D net on volumes: the array axis (z, y, x = 0, 1, 2) that is cut into slices; None if data and net have equal axes.
    spacing : tuple of float
        Target spacing of the data's axes (all of them, the slicing axis as it is: median), in the plan's unit.
    resample : bool
        False if every case has the target spacing already, or the data have no physical size: pixels stay untouched.
    image_shape : tuple of int
        Median shape of the data at the target spacing, all axes.
    patch, batch : tuple of int, int
        The net's axes.
    network : Network
    precision : {"fp32", "fp16", "bf16"}
    checkpointed_stages : int
        Encoder and decoder stages, from the finest, whose activations are recomputed instead of kept.
    memory : Memory
    step_s : float or None
        Seconds of one measured training step; None if the device was not at hand.
    mirror_axes : tuple of int
        Axes of the net along which images may be flipped, in training and in test-time augmentation.
    mirror_swap : tuple of int
        The class whose place each class takes when an odd number of axes is flipped (left lung <-> right lung); empty: none change.
    rotation_degrees : float
        Images are rotated by up to this, both ways; measured.
    iterations, iterations_per_epoch : int
    recipe : Recipe
    priors : tuple of float
        Share of pixels of each class over the training cases; output heads start there.
    previous : str or None
        The stage before in a cascade: its probabilities of each class are input channels behind the image's.
    reasons : dict
        Decision -> a sentence that says why.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    slice_axis: int | None = None
    spacing: tuple[float, ...]
    resample: bool
    image_shape: tuple[int, ...]
    patch: tuple[int, ...]
    batch: int
    network: Network
    precision: Precision
    checkpointed_stages: int = 0
    memory: Memory
    step_s: float | None = None
    mirror_axes: tuple[int, ...] = ()
    mirror_swap: tuple[int, ...] = ()
    rotation_degrees: float = 0.0
    iterations: int
    iterations_per_epoch: int
    recipe: Recipe
    priors: tuple[float, ...]
    previous: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.patch) != self.network.num_axes:
            raise ValueError(f"{self.name}: patch {self.patch} must have the net's {self.network.num_axes} axes")
        for size, multiple in zip(self.patch, self.network.multiple, strict=True):
            if size % multiple:
                raise ValueError(f"{self.name}: patch {self.patch} must be a multiple of {self.network.multiple}, by which the net pools")
        if self.batch < 1 or self.iterations < 1 or self.iterations_per_epoch < 1:
            raise ValueError(f"{self.name}: batch, iterations and iterations_per_epoch must be at least 1")

    @property
    def net_axes(self) -> tuple[int, ...]:
        """Axes of the data that the net sees."""
        return tuple(axis for axis in range(len(self.spacing)) if axis != self.slice_axis)

    @property
    def net_spacing(self) -> tuple[float, ...]:
        """Spacing of the net's axes."""
        return tuple(self.spacing[axis] for axis in self.net_axes)

    @property
    def net_shape(self) -> tuple[int, ...]:
        """Median image, the net's axes."""
        return tuple(self.image_shape[axis] for axis in self.net_axes)

    @property
    def num_previous_channels(self) -> int:
        """Input channels that are the previous stage's probabilities: one for each class in a cascade, else none."""
        return len(self.priors) if self.previous is not None else 0

    @property
    def num_image_channels(self) -> int:
        """Input channels that are the image's; they come first."""
        return self.network.in_channels - self.num_previous_channels


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided for one data set on one budget.

    Parameters
    ----------
    version : int
        `PLAN_VERSION` when written.
    name, dataset : str
        The plan's own name ("default") and the data set's.
    fingerprint : str
        Checksum of the fingerprint that it was made from.
    labels : LabelSpace
    num_axes : int
        Spatial axes of the data, 2 or 3.
    unit : {"mm", "pixel"}
        Of all spacings.
    normalization : tuple of Normalization
        One per channel.
    crop_to_nonzero : bool
        Cases are cut to the box of non-zero voxels first.
    budget : Budget
    stages : dict of Stage
        By configuration.
    planner : str
        Who decided: a name in `planners.PLANNERS`, or another installed package's.
    overrides : tuple of str
        What a person decided with --set, as typed; empty: all was decided from the data and the budget.
    reasons : dict
        Decision -> a sentence that says why.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    version: int = PLAN_VERSION
    name: str
    dataset: str
    fingerprint: str
    labels: LabelSpace
    num_axes: int
    unit: Unit
    channels: tuple[str, ...]
    normalization: tuple[Normalization, ...]
    crop_to_nonzero: bool
    budget: Budget
    stages: dict[str, Stage]
    planner: str = "default"
    overrides: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)


def length_words(stage: Stage, hours: float | None) -> str:
    """The length of a stage's training in iterations, as a person says it; `hours`: of the plan's budget.

    Where a planner saw that the time ends the training, epochs are as long as what it leaves asks for: shorter than the schedule's.
    """
    text, epoch = f"{stage.iterations:,}", f"{stage.iterations_per_epoch:,} an epoch"
    if hours is None:
        return f"{text}, {epoch}"
    is_seen = stage.iterations_per_epoch < epoch_length(stage.iterations) and "iterations_per_epoch" not in stage.reasons
    return f"{text}, {'but' if is_seen else 'unless'} the time ends it before; {epoch}"


def contradictions(plan: Plan) -> list[str]:
    """Where the parts of a plan do not fit each other, as after an edit by hand; a sentence each."""
    if not plan.stages:
        return ["stages: must hold at least one configuration"]
    return [f"stages.{key}: {problem}" for key, stage in plan.stages.items() for problem in _misfits(plan, key, stage)]


def _misfits(plan: Plan, key: str, stage: Stage) -> Iterator[str]:
    """Where a stage contradicts the rest of its plan."""
    classes, network = len(plan.labels.classes), stage.network
    heads = classes + plan.labels.exclusive
    if stage.name != key:
        yield f"name must be {key!r} like its key, got {stage.name!r}"
    if network.num_heads != heads:
        background = " and the background" if plan.labels.exclusive else ""
        yield f"network.num_heads must be {heads}, one for each class{background}, got {network.num_heads}"
    channels = len(plan.normalization) + (classes if stage.previous is not None else 0)
    if network.in_channels != channels:
        behind = " and one for each class of the stage before" if stage.previous is not None else ""
        yield f"network.in_channels must be {channels}, one for each normalization{behind}, got {network.in_channels}"
    if stage.previous is not None and (stage.previous == key or stage.previous not in plan.stages):
        others = ", ".join(name for name in plan.stages if name != key) or "none"
        yield f"previous must be another stage of the plan ({others}), got {stage.previous!r}"
    elif key in _stages_before(plan, key):
        yield f"previous must not lead back to {key}, got {' -> '.join(_stages_before(plan, key))}"
    yield from _recipe_misfits(plan, stage.recipe)
    if len(stage.priors) != classes:
        yield f"priors must hold {classes} numbers, one for each class, got {len(stage.priors)}"
    for name, value in (("spacing", stage.spacing), ("image_shape", stage.image_shape)):
        if len(value) != plan.num_axes:
            yield f"{name} must hold {plan.num_axes} numbers, one for each axis of the data, got {len(value)}"


def _recipe_misfits(plan: Plan, recipe: Recipe) -> Iterator[str]:
    """Where a recipe does not go with the plan's classes."""
    exclusive = plan.labels.exclusive
    if LOSS_FOR.get(recipe.loss, exclusive) != exclusive:
        yield f"recipe.loss must not be {recipe.loss!r}: the classes {'exclude each other' if exclusive else 'overlap'}"
    for name in ("class_weights", "loss_weights"):
        if unknown := sorted(getattr(recipe, name).keys() - set(plan.labels.classes)):
            yield f"recipe.{name} must name classes of the plan, got {unknown[0]!r}"


def _stages_before(plan: Plan, key: str) -> list[str]:
    """The stages before one, the nearest first; ends where one comes for the second time."""
    found: list[str] = []
    name = plan.stages[key].previous
    while name is not None and name in plan.stages and name not in found:
        found.append(name)
        name = plan.stages[name].previous
    return found
