"""From checkpoint files to a model, the stages before it in a cascade included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from autoseg.checkpoint import Checkpoint, load_checkpoint
from autoseg.errors import UsageError
from autoseg.infer.alike import refuse_unlike, what_predicts
from autoseg.infer.case import Model, Previous
from autoseg.infer.confidence import Calibration
from autoseg.infer.folds import Choice
from autoseg.infer.nets import plan_window, ready_net
from autoseg.infer.record import checksum, checksums
from autoseg.plan import Plan
from autoseg.workspace import CHECKPOINT, fold_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A model with the plan and the stage that it was trained by."""

    plan: Plan
    stage: str
    model: Model


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where nets come from, for the record of what they predict: the same whether they lie in a run's folder or in a bundle of it.

    Parameters
    ----------
    run : str
        PLAN/CONFIG-TRAINER.
    folds : dict of str -> str
        Fold -> SHA-256 of its checkpoint.
    note : str
        Such as "3 of 5 folds".
    calibration : Calibration or None
        Of the expected Dice, from a bundle; a run's own lies in its folder.
    """

    run: str
    folds: dict[str, str]
    note: str
    calibration: Calibration | None = None

    @classmethod
    def of(cls, choice: Choice) -> Origin:
        """Of folds in a run's folder; their checkpoints are read."""
        return cls(run=f"{choice.run.parent.name}/{choice.run.name}", folds=checksums(choice.folds), note=choice.note)


def load_model(paths: Sequence[Path], device: torch.device, *, tta: bool = True, step: float = 0.5) -> Loaded:
    """Load the nets of some folds of a run.

    Parameters
    ----------
    paths : sequence of Path
        PLAN/CONFIG-TRAINER/foldK/checkpoint_last.safetensors; in a cascade the nets that each was trained behind are looked for in PLAN.
    device : torch.device
    tta, step
        As in `infer.nets.plan_window`, for all stages.

    Raises
    ------
    UsageError
        If the folds are not of one plan, or a net of the stage before is missing or has changed.
    FileFormatError
        If a checkpoint is damaged.
    """
    nets: list[nn.Module] = []
    sums: dict[Path, tuple[str, ...]] = {}
    first: Checkpoint | None = None
    for path in paths:
        checkpoint = load_checkpoint(path)
        first = first or replace(checkpoint, weights={}, trained={}, optimizer={})
        # Folds are members of one ensemble only if they see images alike and give the same classes.
        refuse_unlike(what_predicts(first.plan, first.stage), what_predicts(checkpoint.plan, checkpoint.stage), path)
        nets.append(ready_net(checkpoint, device))
        sums[path] = tuple(part for part in checkpoint.previous.split(",") if part)
    assert first is not None, "a model has at least one net"
    previous = None
    if first.settings.previous is not None:
        loaded = load_model(find_previous(first.settings.previous, sums), device, tta=tta, step=step)
        if loaded.plan.labels.classes != first.plan.labels.classes:
            raise UsageError(f"{paths[0]} was trained behind nets of other classes; train {first.stage} again.")
        previous = Previous(plan=loaded.plan, stage=loaded.stage, model=loaded.model)
    window = plan_window(first.plan, first.stage, device, tta=tta, step=step)
    return Loaded(
        plan=first.plan, stage=first.stage, model=Model(labels=first.plan.labels, nets=tuple(nets), window=window, previous=previous)
    )


def find_previous(previous: str, sums: Mapping[Path, Sequence[str]]) -> list[Path]:
    """The checkpoints behind which the nets of a cascade were trained, each once, in the order of their folds.

    Parameters
    ----------
    previous : str
        The configuration before.
    sums : mapping of Path -> sequence of str
        A cascade's checkpoint -> SHA-256 of the checkpoints before it: its own fold's, or for fold "all" those of all folds.

    Raises
    ------
    UsageError
        Naming the fold, the file, and what to do, if one is missing or has changed.
    """
    wanted = {value for group in sums.values() for value in group}
    found: dict[str, Path] = {}
    for candidate in _candidates(previous, next(iter(sums))):
        if len(found) < len(wanted) and (value := checksum(candidate)) in wanted:
            found.setdefault(value, candidate)
    for path, group in sums.items():
        for place, value in enumerate(group or ("",)):
            if value not in found:
                raise UsageError(_not_found(previous, path, place))
    return sorted(found.values(), key=lambda file: (fold_of(file.parent), file))


def _candidates(previous: str, path: Path) -> list[Path]:
    """Checkpoints of the stage before in the plan's folder; those of the same trainer first, which most often are the ones.

    Those in a copy that somebody keeps of a fold (fold0_old) are looked at, too: what is taken is known by its checksum.
    """
    run = path.parents[1]
    runs = sorted(run.parent.glob(f"{previous}-*"), key=lambda other: (other.name.partition("-")[2] != run.name.partition("-")[2], other))
    return [file for other in runs for file in sorted(other.glob(f"fold*/{CHECKPOINT}"))]


def _not_found(previous: str, path: Path, place: int) -> str:
    run, fold = path.parents[1], fold_of(path.parent)
    config, _, trainer = run.name.partition("-")
    # Fold "all" stands behind the nets of all folds, in order.
    before = str(place) if fold == "all" else fold
    runs = list(dict.fromkeys(file.parents[1] for file in _candidates(previous, path)))
    file = (runs[0] if runs else run.parent / f"{previous}-{trainer}") / f"fold{before}" / CHECKPOINT
    what = "has changed since" if file.is_file() else "is missing"
    option = "" if trainer == "default" else f" --trainer {trainer}"
    return (
        f"fold {fold} of {run.name} needs fold {before} of {previous} as it was when it was trained, and {file} {what}. "
        f"Put that file back, or train anew behind the nets that are there: autoseg train {config} {path.parent.name}{option} --restart."
    )
