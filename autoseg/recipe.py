"""How a net is trained, as data: loss, optimizer, schedule, augmentation, sampling."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, ClassVar, Literal, get_args

LossName = Literal["dice_ce", "dice_bce", "dice_focal", "focal", "tversky", "jaccard", "ms_ssim", "border_ce"]
OptimizerName = Literal["sgd", "adam", "adamw", "lion", "rmsprop"]
ScheduleName = Literal["poly", "cosine", "step", "constant", "plateau"]
Backend = Literal["device", "workers"]
#: Two names of one loss, Dice with cross-entropy: for exclusive classes (True) and for overlapping ones. The other losses serve both.
LOSS_FOR: dict[str, bool] = {"dice_ce": True, "dice_bce": False}


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Probabilities and ranges; the defaults are nnU-Net's (2.8.1), each `*_p` per sample.

    `rotation_degrees` and the flips are measured per data set and stand in the plan's Stage, not here. `previous_*` are for the channels of
    a cascade's stage before, so that the net does not merely copy them; probabilities and the largest radius are nnU-Net's cascade's.
    nnU-Net has no elastic deformation, grid distortion, CLAHE or dropout of its own; they are off.

    Parameters
    ----------
    noise_std : tuple of float
        Of the normalised image. (nnU-Net calls it a variance and uses it as a standard deviation.)
    brightness, contrast, gamma : tuple of float
        A range on both sides of 1 is drawn from below and from above 1 equally often, as nnU-Net does.
    elastic_intervals : tuple of int
        Cubic B-splines along an axis of the patch; the fewer, the smoother the deformation.
    elastic_magnitude : tuple of float
        Largest shift of a control point in units of their spacing. Below 0.403 no volume folds, below 0.489 no image (Choi and Lee 2000).
    grid_distortion : tuple of float
        By how much, at most, the cells of a grid of five along each axis are widened or narrowed.
    clahe_clip : tuple of float
        How often a grey value may occur in a tile, in multiples of the mean (contrast-limited adaptive histogram equalisation).
    dropout_rectangles : tuple of int
        How many rectangles are filled with the image's mean.
    dropout_size : tuple of float
        Their edges, as a share of the patch's.
    previous_morphology_p : float
        A random half of the classes is eroded, dilated, opened or closed, each in its own way.
    previous_radius : tuple of int
        Smallest and largest radius of that in pixels.
    previous_removal_p : float
        A random half of the classes loses one connected component each, of those that cover less than 15 % of a patch.
    previous_refill_p : float
        Such a component becomes another class's instead of nobody's.
    backend : Backend
        Where pixels are changed: on the device, or in processes that read ahead, by batchgenerators' transforms. Those know neither grid
        distortion nor CLAHE nor dropout, and of `elastic_*` all but the magnitude.
    transforms : dict of float
        Transforms of other installed packages (docs/extending.md), each with its probability. They follow all others, on the device.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rotation_p: float = 0.2
    scaling_p: float = 0.2
    scaling: tuple[float, float] = (0.7, 1.4)
    noise_p: float = 0.1
    noise_std: tuple[float, float] = (0.0, 0.1)
    blur_p: float = 0.2
    blur_sigma: tuple[float, float] = (0.5, 1.0)
    brightness_p: float = 0.15
    brightness: tuple[float, float] = (0.75, 1.25)
    contrast_p: float = 0.15
    contrast: tuple[float, float] = (0.75, 1.25)
    lowres_p: float = 0.25
    lowres_scale: tuple[float, float] = (0.5, 1.0)
    gamma_p: float = 0.3
    gamma_inverted_p: float = 0.1
    gamma: tuple[float, float] = (0.7, 1.5)
    flip_p: float = 0.5
    previous_morphology_p: float = 0.4
    previous_radius: tuple[int, int] = (1, 8)
    previous_removal_p: float = 0.2
    elastic_p: float = 0.0
    elastic_intervals: tuple[int, int] = (3, 8)
    elastic_magnitude: tuple[float, float] = (0.0, 0.4)
    grid_distortion_p: float = 0.0
    grid_distortion: tuple[float, float] = (0.0, 0.3)
    clahe_p: float = 0.0
    clahe_clip: tuple[float, float] = (1.0, 4.0)
    dropout_p: float = 0.0
    dropout_rectangles: tuple[int, int] = (1, 8)
    dropout_size: tuple[float, float] = (0.05, 0.2)
    # No part of the key that a traced memory goes by: the trace holds the device's transforms, which workers leave undone.
    backend: Backend = field(default="device", repr=False)
    # Nor is this: it happens where the channels are read.
    previous_refill_p: float = field(default=0.0, repr=False)
    # Part of that key where there are any, see memory.trace.step_key.
    transforms: dict[str, float] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.backend not in get_args(Backend):
            raise ValueError(f"backend must be {' or '.join(get_args(Backend))}, got {self.backend}")
        for name, p in self.transforms.items():
            if not 0 <= p <= 1:
                raise ValueError(f"transforms must have probabilities, from 0 to 1, got {p} for {name}")
        for name in ("grid_distortion_p", "clahe_p", "dropout_p"):
            if self.backend == "workers" and getattr(self, name) > 0:
                raise ValueError(f"backend workers has no such transform: {name} must be 0, got {getattr(self, name):g}; or backend=device")
        for name, least, most in (
            ("previous_radius", 1, None), ("elastic_intervals", 1, None), ("elastic_magnitude", 0, 0.4), ("grid_distortion", 0, 0.9),
            ("clahe_clip", 1, None), ("dropout_rectangles", 1, None), ("dropout_size", 0, 1),
        ):  # fmt: skip
            low, high = getattr(self, name)
            if not least <= low <= high or (most is not None and high > most):
                bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
                raise ValueError(f"{name} must be two ascending numbers {bounds}, got {getattr(self, name)}")


#: Nothing is drawn: for overfitting on purpose and for tests.
NO_AUGMENTATION = Augmentation(
    rotation_p=0, scaling_p=0, noise_p=0, blur_p=0, brightness_p=0, contrast_p=0, lowres_p=0, gamma_p=0, gamma_inverted_p=0, flip_p=0,
    previous_morphology_p=0, previous_removal_p=0,
)  # fmt: skip
#: For few images: the default, and deformations, local contrast and holes as well. Its probabilities are a guess, not measured.
STRONG_AUGMENTATION = Augmentation(elastic_p=0.3, grid_distortion_p=0.2, clahe_p=0.1, dropout_p=0.2)

#: What --augmentation may say.
AUGMENTATIONS: dict[str, Augmentation] = {
    "default": Augmentation(), "none": NO_AUGMENTATION, "strong": STRONG_AUGMENTATION, "workers": Augmentation(backend="workers"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a training run needs besides the net and the data.

    Parameters
    ----------
    name : str
        The trainer's name, part of the results folder.
    loss : str
        One of `LossName`, or of another installed package. Softmax for exclusive classes, a sigmoid each for overlapping ones: the
        plan's classes say which.
    loss_weights : dict of float
        By class name: how much a class counts in the loss, relative to the others and, in a softmax, to the background's 1; a class that
        is not named counts 1.
    optimizer, lr, momentum, weight_decay
        momentum is SGD's (Nesterov); the others take their papers' coefficients.
    schedule : ScheduleName
        Of the training's progress in [0, 1]; see `trainers.schedule`.
    warmup : float
        Share of the training over which the learning rate rises linearly.
    clip_norm : float
        The gradient's norm is cut here (nnU-Net: 12).
    ema : float or None
        Decay of an exponential moving average of the weights, which then is what predicts; None: there is none.
    foreground_share : float
        Share of the samples of a batch that are centred on a random class's pixel.
    class_weights : dict of float
        By class name: how often a class is the one that is centred on, relative to the others' 1.
    case_weights : dict of float
        By case name: how often a case is drawn, relative to the others' 1.
    min_foreground : float
        Smallest share of a patch's pixels that belong to a class; another place is drawn, up to ten times, where it is less.
    pinned : bool
        A person chose the optimizer: it holds whatever the length of the training.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    loss: str
    optimizer: OptimizerName
    lr: float
    schedule: ScheduleName
    momentum: float = 0.99
    weight_decay: float = 3e-5
    warmup: float = 0.0
    clip_norm: float = 12.0
    ema: float | None = None
    foreground_share: float = 1 / 3
    class_weights: dict[str, float] = field(default_factory=dict)
    case_weights: dict[str, float] = field(default_factory=dict)
    min_foreground: float = 0.0
    loss_weights: dict[str, float] = field(default_factory=dict)
    pinned: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be positive, got {self.lr}")
        if not 0 <= self.foreground_share <= 1:
            raise ValueError(f"foreground_share must lie in [0, 1], got {self.foreground_share}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must lie in [0, 1), got {self.warmup}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must lie in (0, 1), got {self.ema}")
        if not 0 <= self.min_foreground <= 1:
            raise ValueError(f"min_foreground must lie in [0, 1], got {self.min_foreground}")
        for name in ("class_weights", "case_weights", "loss_weights"):
            for key, weight in getattr(self, name).items():
                if not (weight > 0 and isfinite(weight)):
                    raise ValueError(f"{name} must be positive, got {weight} for {key}")


#: What goes with each optimizer unless it is set. Sources of the rates:
#: sgd: nnU-Net's (Isensee et al. 2021). adamw: measured at 400 to 600 iterations, Dice of fold 0 at 1e-3, 3e-3, 6e-3: phantom (96 px)
#: 0.680, 0.883, 0.909; Hippocampus slices 0.857, 0.857, 0.853; VNC 0.560, 0.579 (benchmarks/README.md). Not measured here: adam, as in the
#: first nnU-Net (Isensee et al. 2018, arXiv 1809.10486); lion, a rate ten times smaller and a decay ten times larger than AdamW's
#: (Chen et al. 2023, arXiv 2302.06675, section 5); rmsprop, 1e-3 (Tieleman and Hinton 2012, lecture 6.5).
OPTIMIZERS: dict[OptimizerName, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 1e-2, "schedule": "poly"},
    "adam": {"optimizer": "adam", "lr": 3e-4, "schedule": "cosine", "warmup": 0.05},
    "adamw": {"optimizer": "adamw", "lr": 5e-3, "schedule": "cosine", "weight_decay": 1e-2, "warmup": 0.05},
    "lion": {"optimizer": "lion", "lr": 5e-4, "schedule": "cosine", "weight_decay": 1e-1, "warmup": 0.05},
    "rmsprop": {"optimizer": "rmsprop", "lr": 1e-3, "schedule": "cosine", "warmup": 0.05},
}

#: The named recipes: nnU-Net's long schedule and the short one. Under 5,000 iterations SGD with a momentum of 0.99 has no time to settle.
RECIPES: dict[str, dict[str, Any]] = {"sgd": OPTIMIZERS["sgd"], "adamw": OPTIMIZERS["adamw"]}

SHORT_TRAINING_ITERATIONS = 5000


def recipe_for(loss: str, iterations: int) -> Recipe:
    """The default recipe for a training of this length."""
    settings = RECIPES["adamw" if iterations < SHORT_TRAINING_ITERATIONS else "sgd"]
    return Recipe(name="default", loss=loss, **settings)


#: Fields of a recipe that belong to the data set, and the average, which goes with any optimizer: they stay when an optimizer with its
#: rate and schedule is exchanged.
OF_THE_DATA = ("augmentation", "foreground_share", "class_weights", "case_weights", "min_foreground", "loss_weights", "ema")


def with_data_of(recipe: Recipe, other: Recipe) -> Recipe:
    """The recipe with the other's augmentation, sampling, class weights and average."""
    return replace(recipe, **{name: getattr(other, name) for name in OF_THE_DATA})


def with_optimizer(recipe: Recipe, optimizer: OptimizerName) -> Recipe:
    """The recipe with another optimizer and the rate, decay, schedule and warm-up that go with it; the same one changes nothing."""
    if optimizer == recipe.optimizer:
        return recipe
    return with_data_of(Recipe(name=recipe.name, loss=recipe.loss, **OPTIMIZERS[optimizer]), recipe)


def follows_length(recipe: Recipe, iterations: int | None = None) -> bool:
    """True if the recipe is what `recipe_for` gives, what belongs to the data set apart: nobody has chosen another rate or optimizer.

    Parameters
    ----------
    recipe : Recipe
    iterations : int or None
        The length that it was chosen for; None if that was an estimate, and any length may have been meant.
    """
    lengths = (0, SHORT_TRAINING_ITERATIONS) if iterations is None else (iterations,)
    return any(recipe == with_data_of(recipe_for(recipe.loss, length), recipe) for length in lengths)


#: nnU-Net's epoch; a shorter training is cut into about forty.
ITERATIONS_PER_EPOCH = 250
EPOCHS_OF_A_SHORT_TRAINING = 40


def epoch_length(iterations: int) -> int:
    """Iterations per epoch of a training of this length."""
    return max(1, min(ITERATIONS_PER_EPOCH, iterations // EPOCHS_OF_A_SHORT_TRAINING))
