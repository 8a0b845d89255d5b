"""How a net is trained, as data: loss, optimizer, schedule, augmentation, sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

LossName = Literal["dice_ce", "dice_bce"]
OptimizerName = Literal["sgd", "adamw"]
ScheduleName = Literal["poly", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Probabilities and ranges; the defaults are nnU-Net's (PEERS 2), each `*_p` per sample.

    `rotation_degrees` and the flips are measured per data set and stand in the plan's Stage, not here.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rotation_p: float = 0.2
    scaling_p: float = 0.2
    scaling: tuple[float, float] = (0.7, 1.4)
    noise_p: float = 0.1
    noise_variance: tuple[float, float] = (0.0, 0.1)
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


#: Nothing is drawn: for overfitting on purpose and for tests.
NO_AUGMENTATION = Augmentation(
    rotation_p=0, scaling_p=0, noise_p=0, blur_p=0, brightness_p=0, contrast_p=0, lowres_p=0, gamma_p=0, gamma_inverted_p=0, flip_p=0
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a training run needs besides the net and the data.

    Parameters
    ----------
    name : str
        The trainer's name, part of the results folder.
    loss : {"dice_ce", "dice_bce"}
        Softmax cross-entropy for exclusive classes, a sigmoid each for overlapping ones; Dice beside it.
    optimizer, lr, momentum, weight_decay
        momentum is SGD's (Nesterov); AdamW takes its own betas.
    schedule : {"poly", "cosine"}
        A function of the training's progress in [0, 1]; poly is (1 - progress) ** 0.9, cosine goes to zero.
    warmup : float
        Share of the training over which the learning rate rises linearly.
    clip_norm : float
        The gradient's norm is cut here (nnU-Net: 12).
    foreground_share : float
        Share of the samples of a batch that are centred on a random class's pixel.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    loss: LossName
    optimizer: OptimizerName
    lr: float
    schedule: ScheduleName
    momentum: float = 0.99
    weight_decay: float = 3e-5
    warmup: float = 0.0
    clip_norm: float = 12.0
    foreground_share: float = 1 / 3
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be positive, got {self.lr}")
        if not 0 <= self.foreground_share <= 1:
            raise ValueError(f"foreground_share must lie in [0, 1], got {self.foreground_share}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must lie in [0, 1), got {self.warmup}")


#: nnU-Net's long schedule and the short one, by name. Under 5,000 iterations SGD with a momentum of 0.99 has no time to settle. AdamW's
#: rate was measured at 400 to 600 iterations, Dice of fold 0 at 1e-3, 3e-3, 6e-3: phantom (96 px) 0.680, 0.883, 0.909; Hippocampus
#: slices 0.857, 0.857, 0.853; VNC 0.560, 0.579 (benchmarks/README.md).
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 1e-2, "schedule": "poly"},
    "adamw": {"optimizer": "adamw", "lr": 5e-3, "schedule": "cosine", "weight_decay": 1e-2, "warmup": 0.05},
}

SHORT_TRAINING_ITERATIONS = 5000


def recipe_for(loss: LossName, iterations: int) -> Recipe:
    """The default recipe for a training of this length."""
    settings = RECIPES["adamw" if iterations < SHORT_TRAINING_ITERATIONS else "sgd"]
    return Recipe(name="default", loss=loss, **settings)


#: nnU-Net's epoch; a shorter training is cut into about forty.
ITERATIONS_PER_EPOCH = 250
EPOCHS_OF_A_SHORT_TRAINING = 40


def epoch_length(iterations: int) -> int:
    """Iterations per epoch of a training of this length."""
    return max(1, min(ITERATIONS_PER_EPOCH, iterations // EPOCHS_OF_A_SHORT_TRAINING))
