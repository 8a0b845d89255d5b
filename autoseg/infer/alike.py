"""Folds of one run predict together: what of their plans must be equal for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from autoseg.checkpoint import read_trained
from autoseg.errors import UsageError
from autoseg.plan import Plan

Predicting = Mapping[str, object]
#: A value that is longer is not shown, nor are more differences than so many.
SHORT, FEW = 40, 3
OF_PLAN = ("labels", "num_axes", "unit", "normalization", "crop_to_nonzero")
OF_STAGE = ("slice_axis", "spacing", "resample", "patch", "mirror_axes", "mirror_swap", "previous")


def what_predicts(plan: Plan, stage: str) -> Predicting:
    """What of a plan decides how its nets see images and what they give; lengths and rates of training may differ between folds (--hours).

    Parameters
    ----------
    plan : Plan
    stage : str
        A key of plan.stages.
    """
    settings = plan.stages[stage]
    found: dict[str, object] = {"configuration": stage} | {name: getattr(plan, name) for name in OF_PLAN}
    found |= {name: getattr(settings, name) for name in OF_STAGE}
    found |= {f"network.{field.name}": getattr(settings.network, field.name) for field in fields(settings.network)}
    # As a number even where it is the encoder's: a person reads the difference.
    return found | {"network.decoder_convs": settings.network.convs_up}


def differing(there: Predicting, now: Predicting) -> str:
    """The fields in which two differ, with their values where these are short.

    Examples
    --------
    >>> differing({"unit": "mm", "patch": (64, 64)}, {"unit": "mm", "patch": (112, 112)})
    'patch (64, 64) -> (112, 112)'
    """
    names = [name for name in there if there[name] != now[name]]
    said = []
    for name in names[:FEW]:
        a, b = str(there[name]), str(now[name])
        said.append(f"{name} {a} -> {b}" if max(len(a), len(b)) <= SHORT else name)
    return ", ".join(said) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def refuse_unlike(first: Predicting, other: Predicting, path: Path) -> None:
    """UsageError if the net in `path` cannot predict together with the `first` one."""
    if first != other:
        raise UsageError(
            f"{path} was trained with another plan than the folds before it ({differing(first, other)}); predict them apart with --folds, "
            "or train it again (--restart)"
        )


def check_alike(paths: Iterable[Path]) -> None:
    """UsageError if the nets in some checkpoints cannot predict together, by their headers alone; as `load.load_model` raises it."""
    first: Predicting | None = None
    for path in paths:
        found = what_predicts(*read_trained(path))
        first = first or found
        refuse_unlike(first, found, path)
